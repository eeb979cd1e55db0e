"use strict";
// Moves a nomogram. Everything it shows comes from the JSON beside it (nenflow.report.interactive), as text, never as
// HTML; it asks no network for anything.
(() => {
  const QUANTILE = 1.959963984540054; // of the normal distribution, for 95%
  const DRAWN = "http://www.w3.org/2000/svg";
  const MINUS = "\u2212";

  /** An element with attributes and children (texts or elements). */
  function make(name, attributes = {}, ...children) {
    return fill(document.createElement(name), attributes, children);
  }

  function draw(name, attributes = {}, ...children) {
    return fill(document.createElementNS(DRAWN, name), attributes, children);
  }

  function fill(element, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function decimal(value, digits) {
    const text = value.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS);
  }

  /** A number as it was entered or measured, in at most six digits. */
  const short = (value) => String(Number(value.toPrecision(6))).replace("-", MINUS);

  /** The columns of a restricted cubic spline, as nenflow.models.terms.spline_columns has them. */
  function splineColumns(x, knots) {
    const last = knots[knots.length - 1];
    const before = knots[knots.length - 2];
    const cube = (knot) => Math.max(x - knot, 0) ** 3;
    const bends = knots.slice(0, -2).map((knot) => {
      const bend = cube(knot) - (cube(before) * (last - knot) - cube(last) * (before - knot)) / (last - before);
      return bend / (last - knots[0]) ** 2;
    });
    return [x, ...bends];
  }

  const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
  const form = (matrix, x) => dot(x, matrix.map((row) => dot(row, x)));

  /** What one model predicts for a row x: of each outcome (of the stratum) its value and, if it has one, interval. */
  function predict(model, x, stratum) {
    const predictor = model.intercept + dot(model.coefficients, x);
    return model.outcomes.filter((outcome) => !outcome.stratum || outcome.stratum === stratum).map((outcome) => {
      const survives = outcome.hazard !== undefined;
      return { label: outcome.label, ...(survives ? survival : probability)(model, x, predictor, outcome) };
    });
  }

  const logistic = (value) => 1 / (1 + Math.exp(-value));

  /** The interval is that of the log odds, as in nenflow.models.uncertainty. */
  function probability(model, x, predictor) {
    if (!model.covariance) return { value: logistic(predictor), ends: [] };
    const reach = QUANTILE * Math.sqrt(form(model.covariance, [1, ...x]));
    return { value: logistic(predictor), ends: [logistic(predictor - reach), logistic(predictor + reach)] };
  }

  /** The interval is that of the logarithm of survival, as in nenflow.models.uncertainty. */
  function survival(model, x, predictor, outcome) {
    const value = Math.exp(-outcome.hazard * Math.exp(predictor));
    if (!model.covariance) return { value, ends: [] };
    const away = x.map((entry, place) => outcome.hazard * entry - outcome.drift[place]);
    const reach = QUANTILE * Math.exp(predictor) * Math.sqrt(outcome.variance + form(model.covariance, away));
    return { value, ends: [value * Math.exp(-reach), Math.min(value * Math.exp(reach), 1)] };
  }

  /** A slider with a box for any number. */
  function numberInput(input, id, changed) {
    const box = make("input", {
      type: "number", step: "any", id, value: input.start, "aria-describedby": `${id}-said`,
    });
    const slider = make("input", {
      type: "range", min: input.from, max: input.to, step: input.step, value: input.start, "aria-label": input.label,
    });
    slider.addEventListener("input", () => { box.value = slider.value; changed(); });
    box.addEventListener("input", () => { slider.value = box.value; changed(); });
    const read = () => {
      const x = box.value.trim() === "" ? NaN : Number(box.value);
      if (!Number.isFinite(x)) return { said: `Enter a number for ${input.label}.` };
      const outside = x < input.low || x > input.high;
      const range = `${short(input.low)} to ${short(input.high)}, the range that the model was made from`;
      return {
        columns: input.knots ? splineColumns(x, input.knots) : [x],
        said: outside ? `${short(x)} is outside of ${range}: its answer is extrapolated.` : "",
      };
    };
    return { fields: [slider, box], read };
  }

  /** A choice of levels. */
  function levelInput(input, id, changed) {
    const options = input.options.map((option, place) => make("option", { value: place }, option.label));
    const select = make("select", { id, "aria-describedby": `${id}-said` }, ...options);
    select.addEventListener("change", changed);
    const read = () => {
      const option = input.options[Number(select.value)];
      const said = option.seen ? "" : `The model was made from nobody with ${option.label}: its answer is not known.`;
      return { columns: option.columns, said };
    };
    return { fields: [select], read };
  }

  /** One line of the form: its label, its fields, its points, and what is to be said of the value. */
  function inputRow(input, id, changed) {
    const { fields, read } = (input.options ? levelInput : numberInput)(input, id, changed);
    const points = make("span", { class: "points" });
    const said = make("span", { class: "beyond", id: `${id}-said`, role: "status" });
    const label = make("label", { for: id }, input.label);
    return { element: make("div", { class: "row" }, label, ...fields, points, said), read, points, said };
  }

  /** The table of outcomes: a row for each, a column for each model. Cells are filled by `show`. */
  function outcomeTable(predictions, found) {
    const head = make("tr", {}, make("td"), ...predictions.map((model) => make("th", { scope: "col" }, model.name)));
    const rows = found[0].map((outcome, place) => {
      const cells = found.map((outcomes) => {
        const { value, ends } = outcomes[place];
        const cell = make("td", {}, make("data", { value }, decimal(value, 3)));
        if (ends.length) {
          const [low, high] = ends.map((end) => make("data", { value: end }, decimal(end, 3)));
          cell.append(" (95% interval ", low, " to ", high, ")");
        }
        return cell;
      });
      return make("tr", {}, make("th", { scope: "row" }, outcome.label), ...cells);
    });
    const named = predictions.some((model) => model.name);
    return make("table", {}, ...(named ? [make("thead", {}, head)] : []), make("tbody", {}, ...rows));
  }

  /** The drawn nomogram, and a function that moves its marks: points of each input, total points. */
  function drawing(plan) {
    const picture = draw("svg", {
      viewBox: `0 0 ${plan.width} ${plan.height}`, role: "img",
      "aria-label": "The nomogram; marks stand at the values chosen above and at their total points.",
    });
    const marks = [];
    for (const line of plan.lines) {
      const y = line.level;
      line.name.forEach((words, row) => {
        const at = y + (row - (line.name.length - 1) / 2) * plan.text * 1.2;
        picture.append(draw("text", { x: 2, y: at, "font-size": plan.text, "dominant-baseline": "central" }, words));
      });
      const spots = line.ticks.map((tick) => tick.at);
      if (!spots.length) {
        const words = "no round value is reached";
        const place = { x: plan.left, y, "font-size": plan.small, "dominant-baseline": "central" };
        picture.append(draw("text", place, words));
      } else {
        picture.append(draw("line", { x1: Math.min(...spots), x2: Math.max(...spots), y1: y, y2: y, class: "axis" }));
      }
      for (const tick of line.ticks) {
        picture.append(draw("line", { x1: tick.at, x2: tick.at, y1: y, y2: y + tick.end, class: "tick" }));
        const at = y + tick.end + Math.sign(tick.end) * plan.gap;
        picture.append(draw("text", {
          x: tick.middle, y: at, "font-size": plan.small, "text-anchor": "middle",
          "dominant-baseline": tick.end > 0 ? "hanging" : "auto",
        }, tick.text));
      }
      if (line.total || line.input !== null) {
        const mark = draw("circle", { cy: y, r: 1.3, class: "mark" });
        marks.push({ mark, line });
      }
    }
    picture.append(...marks.map(({ mark }) => mark));
    const move = (points, total) => {
      for (const { mark, line } of marks) {
        const place = line.total ? (100 * total) / plan.longest : points[line.input];
        const inside = Math.min(Math.max(place, 0), 100);
        mark.setAttribute("cx", plan.left + (inside / 100) * plan.length);
        mark.setAttribute("class", inside === place ? "mark" : "mark off"); // the axis ends before
      }
    };
    return { picture, move };
  }

  /** Prints the calculator alone. */
  function printButton(place) {
    const button = make("button", { type: "button" }, "Print this patient's nomogram");
    button.addEventListener("click", () => {
      place.classList.add("printed");
      document.body.classList.add("print-one");
      window.print();
    });
    return button;
  }

  window.addEventListener("afterprint", () => {
    document.body.classList.remove("print-one");
    for (const place of document.querySelectorAll(".printed")) place.classList.remove("printed");
  });

  function build(place, number) {
    const model = JSON.parse(place.querySelector("script").textContent);
    const update = () => show();
    const rows = model.inputs.map((input, index) => inputRow(input, `nomogram-${number}-${index}`, update));
    const strata = model.strata && model.strata.options.map((name) => make("option", {}, name));
    const stratum = strata && make("select", { id: `nomogram-${number}-stratum` }, ...strata);
    const form = make("fieldset", {}, make("legend", {}, "The patient"), ...rows.map((row) => row.element));
    if (stratum) {
      const label = make("label", { for: stratum.id }, model.strata.label);
      form.append(make("div", { class: "row" }, label, stratum));
      stratum.addEventListener("change", update);
    }
    const answer = make("div", { class: "answer", role: "status", "aria-live": "polite", "aria-atomic": "true" });
    const notes = model.notes.map((words) => make("p", { class: "note" }, words));
    const { picture, move } = drawing(model.drawing);
    const scrolled = { class: "drawn", tabindex: "0", role: "group", "aria-label": "The drawn nomogram" };
    const box = make("div", scrolled, picture);

    function show() {
      const read = rows.map((row) => row.read());
      read.forEach(({ said }, index) => {
        if (rows[index].said.textContent !== said) rows[index].said.textContent = said;
      });
      const known = read.every(({ columns }) => columns);
      place.classList.toggle("unknown", !known);
      if (!known) {
        for (const row of rows) row.points.replaceChildren();
        answer.replaceChildren(make("p", {}, "A value is missing: there is no answer without it."));
        return;
      }
      let from = 0;
      const points = read.map(({ columns }, index) => {
        const effect = dot(columns, model.predictions[0].coefficients.slice(from, from += columns.length));
        return (effect - model.inputs[index].least) * model.points_per_unit;
      });
      points.forEach((value, index) => {
        rows[index].points.replaceChildren(make("data", { value }, decimal(value, 1)), " points");
      });
      const total = points.reduce((sum, value) => sum + value, 0);
      const x = read.flatMap(({ columns }) => columns);
      const found = model.predictions.map((one) => predict(one, x, stratum && stratum.value));
      answer.replaceChildren(
        make("p", {}, "Total points: ", make("data", { value: total, class: "total" }, decimal(total, 1))),
        outcomeTable(model.predictions, found),
      );
      move(points, total);
    }

    place.append(form, answer, ...notes, box, printButton(place));
    show();
  }

  document.querySelectorAll(".calculator").forEach(build);
})();
