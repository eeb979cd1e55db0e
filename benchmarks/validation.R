# The protocol of benchmarks/validation.py in R, as a study would write it: for each resample z-scores, pruning by
# Spearman's rho, cv.glmnet with lambda.min, a univariable screen, backward elimination, and AUCs of Radscore and model.
# Only where the R way is known to fail does it follow nenflow: in a model that separates the outcomes Wald's p goes to 1
# for the very variable that explains most, so that there the likelihood ratio decides.
#
# Rscript validation.R FOLDER THRESHOLD: reads what validation.py wrote into the folder, refits the resamples and writes
# r.csv (what was selected) and r_seconds.csv (CPU seconds by step) there.

suppressPackageStartupMessages({
  library(glmnet)
  library(pROC)
})
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
threshold <- as.numeric(arguments[2])

numbers_in <- function(name, columns) {
  file <- file.path(folder, name)
  matrix(readBin(file, "double", file.info(file)$size / 8), ncol = columns)
}
shape <- scan(file.path(folder, "shape.txt"), quiet = TRUE)
features <- numbers_in("features.bin", shape[1])
clinical <- numbers_in("clinical.bin", shape[2])
colnames(clinical) <- paste0("clinical", seq_len(shape[2]))
y <- numbers_in("outcome.bin", 1)[, 1]
drawn <- read.csv(file.path(folder, "resamples.csv"))
drawn <- split(drawn, drawn$resample)
numbers <- sort(as.integer(names(drawn)))

seconds <- c(zscore = 0, spearman = 0, lasso = 0, univariable = 0, backward = 0, scores = 0)
clock <- function() sum(proc.time()[c("user.self", "sys.self")])
timed <- function(step, work) {
  start <- clock()
  result <- work # evaluated here
  seconds[step] <<- seconds[step] + clock() - start
  result
}

keep_first <- function(rho, threshold) {
  kept <- integer(0)
  for (j in seq_len(ncol(rho))) if (!any(rho[kept, j] > threshold)) kept <- c(kept, j)
  kept
}

regress <- function(terms, data, control = glm.control()) {
  formula <- reformulate(if (length(terms)) terms else "1", "y")
  suppressWarnings(glm(formula, family = binomial, data = data, control = control))
}

# Separated: a predictor beyond 15 that goes on growing when the fit is allowed more rounds.
is_separated <- function(fit, terms, data) {
  largest <- max(abs(fit$linear.predictors))
  if (largest <= 15) return(FALSE)
  further <- regress(terms, data, glm.control(epsilon = 1e-15, maxit = 40))
  max(abs(further$linear.predictors)) > largest + 1
}

p_values <- function(terms, data) {
  fit <- regress(terms, data)
  p <- setNames(rep(1, length(terms)), terms) # of a variable without variation
  if (is_separated(fit, terms, data)) {
    for (term in terms) {
      less <- regress(setdiff(terms, term), data)
      p[term] <- pchisq(less$deviance - fit$deviance, less$df.residual - fit$df.residual, lower.tail = FALSE)
    }
  } else {
    found <- summary(fit)$coefficients
    p[rownames(found)[-1]] <- found[-1, 4]
  }
  list(p = p, fit = fit)
}

backward <- function(terms, data, threshold) {
  while (length(terms)) {
    tested <- p_values(terms, data)
    if (max(tested$p) <= threshold) return(list(terms = terms, fit = tested$fit))
    terms <- terms[-which.max(tested$p)]
  }
  list(terms = terms, fit = regress(terms, data))
}

area <- function(outcome, score) {
  as.numeric(auc(roc(outcome, round(as.numeric(score), 9), direction = "<", levels = c(0, 1), quiet = TRUE)))
}

refit <- function(number) {
  rows <- drawn[[as.character(number)]]$row
  fold <- drawn[[as.character(number)]]$fold
  outcome <- y[rows]
  Z <- timed("zscore", scale(features[rows, ]))
  kept <- timed("spearman", keep_first(abs(cor(Z, method = "spearman")), 0.9))
  found <- timed("lasso", cv.glmnet(Z[, kept], outcome, family = "binomial", foldid = fold, thresh = threshold))
  coefs <- as.matrix(coef(found, s = "lambda.min"))[, 1]
  centre <- attr(Z, "scaled:center")[kept]
  spread <- attr(Z, "scaled:scale")[kept]
  everybody <- timed("scores", scale(features[, kept], centre, spread) %*% coefs[-1] + coefs[1])
  original <- data.frame(y = y, Radscore = as.numeric(everybody), clinical)
  data <- original[rows, ]
  terms <- setdiff(colnames(original), "y")
  screened <- timed("univariable", terms[sapply(terms, function(term) p_values(term, data)$p) < 0.05])
  final <- timed("backward", backward(screened, data, 0.05))
  areas <- timed("scores", {
    told <- predict(final$fit, original)
    c(area(outcome, data$Radscore), area(y, original$Radscore), area(outcome, told[rows]), area(y, told))
  })
  data.frame(
    resample = number,
    pruned = paste(kept, collapse = ";"),
    lasso = paste(kept[coefs[-1] != 0], collapse = ";"),
    selected = paste(final$terms, collapse = ";"),
    auc_radscore_train = areas[1], auc_radscore_test = areas[2], auc_train = areas[3], auc_test = areas[4]
  )
}

invisible(refit(numbers[1])) # R compiles its functions as they are used
seconds[] <- 0
start <- clock()
result <- do.call(rbind, lapply(numbers, refit))
seconds["total"] <- clock() - start
write.csv(result, file.path(folder, "r.csv"), row.names = FALSE)
write.csv(t(seconds), file.path(folder, "r_seconds.csv"), row.names = FALSE)
