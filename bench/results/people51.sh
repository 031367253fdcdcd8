#!/usr/bin/env bash
# The proof on people51: teacher, four students, their bundles, and the table beside this file.
#   bash bench/results/people51.sh DATA RUNS          (hours on 2 cores)
# Finished steps are skipped and interrupted ones resumed, so it may be stopped and started over several days.
set -euo pipefail
data=$1 runs=$2
here=$(cd "$(dirname "$0")" && pwd)
note="Trained on film and public figures for research; not for commercial use, no redistribution of the photographs."

finished() { # of the run itself: run.json tells of its teacher's figures, too
  python -c 'import json, sys; sys.exit(not json.load(open(sys.argv[1]))["figures"].get("finished"))' "$runs/$1/run.json" 2>/dev/null
}

train() { # NAME ROLE OPTIONS...
  local name=$1 role=$2
  shift 2
  if finished "$name"; then return; fi
  if [ -e "$runs/$name/checkpoints/checkpoint" ]; then
    edgeface train "$role" "$data" "$@" --out "$runs/$name" --resume
  else
    rm -rf "${runs:?}/$name"
    edgeface train "$role" "$data" "$@" --out "$runs/$name" --recipe cpu
  fi
}

quantize() { # RUN MODE FOLDER OPTIONS...
  local run=$1 mode=$2 out=$3
  shift 3
  [ -e "$out/bundle.json" ] || edgeface quantize "$runs/$run" --mode "$mode" --out "$out" --data "$data" --note "$note" "$@"
}

train teacher teacher
for width in 1.0 2.0; do
  train "student-$width-taught" student --width "$width" --teacher "$runs/teacher"
  train "student-$width-plain" student --width "$width"
  quantize "student-$width-taught" float32 "$runs/bundles/$width-float32"
  quantize "student-$width-taught" int8 "$runs/bundles/people51-$width-int8"
  quantize "student-$width-taught" qat "$runs/bundles/people51-$width-qat" --teacher "$runs/teacher"
done
quantize teacher float32 "$runs/bundles/teacher-float32"

edgeface bench "$runs/bundles/teacher-float32" \
  "$runs/bundles/2.0-float32" "$runs/bundles/people51-2.0-int8" "$runs/bundles/people51-2.0-qat" \
  "$runs/bundles/1.0-float32" "$runs/bundles/people51-1.0-int8" "$runs/bundles/people51-1.0-qat" \
  --device cpu --data "$data" --out "$here/people51.json" --markdown "$here/people51.md"
for run in teacher student-2.0-plain student-2.0-taught student-1.0-plain student-1.0-taught; do
  edgeface eval "$runs/$run" "$data" --quiet | sed "s|.*/|- Keras, |"
done >> "$here/people51.md"
for name in people51-{1.0,2.0}-{int8,qat}; do
  rm -rf "${here:?}/$name"
  cp -r "$runs/bundles/$name" "$here/$name"
done
