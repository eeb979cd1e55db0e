#!/bin/sh
# What became of a job, in Snakemake's words. Jobs that have ended are asked for with -x, so the server must keep their
# history (its administrator sets job_history_enable); one that it does not know counts as failed and is tried again.
qstat -x -f "$1" 2>/dev/null | awk -F ' = ' '
    $1 ~ /job_state$/ { state = $2 }
    $1 ~ /Exit_status$/ { code = $2 }
    END { print (state == "" || (state == "F" && code != 0)) ? "failed" : state == "F" ? "success" : "running" }'
