#!/usr/bin/env bash
# The teacher, the students published beside this file and the table of people51.md. Runs are lost with the machines they
# ran on, bundles are not: the students go on from the int8 bundles of revision 92b07cb (made by this script of that
# revision), taught by a teacher that is trained first, for long and on many views (Beyer et al. 2022).
#   bash bench/results/people51-taught.sh DATA RUNS          (4 hours on 2 cores that have bfloat16)
# An interrupted run is resumed and finished ones are skipped; rewrites the bundles and people51*.json and .md here.
set -euo pipefail
data=$1 runs=$2
here=$(cd "$(dirname "$0")" && pwd)
note="Trained on film and public figures for research; not for commercial use, no redistribution of the photographs."
mkdir -p "$runs/bundles"
git -C "$here/../.." archive 92b07cb bench/results | tar -x -C "$runs"

train() { # RUN ROLE RECIPE OPTIONS...
  local run=$1 role=$2 recipe=$3
  shift 3
  if [ -e "$run/checkpoints/checkpoint" ]; then
    edgeface train "$role" "$data" --out "$run" --resume
  else
    edgeface train "$role" "$data" --out "$run" --recipe "$recipe" --precision bf16 "$@"
  fi
}

taught() { # RUN FROM EPOCHS OPTIONS...: a student that goes on from its bundle or run
  local run=$1 from=$2 epochs=$3
  shift 3
  train "$run" student longer --init "$from" --teacher "$runs/teacher" --set stage1.epochs="$epochs" "$@"
}

bundles() { # WIDTH RUN
  local width=$1 run=$2
  quantize "$run" float32 "$runs/bundles/$width-float32"
  quantize "$run" int8 "$here/people51-$width-int8"
  quantize "$run" qat "$here/people51-$width-qat" --teacher "$runs/teacher" --epochs 1 --frozen 0 --learning-rate 1e-4
}

quantize() { # RUN MODE FOLDER OPTIONS...
  local run=$1 mode=$2 out=$3
  shift 3
  rm -rf "$out"
  edgeface quantize "$run" --mode "$mode" --out "$out" --data "$data" --note "$note" "$@"
}

train "$runs/teacher" teacher cpu
quantize "$runs/teacher" float32 "$runs/bundles/teacher-float32"
taught "$runs/student-1.0-taught" "$runs/bench/results/people51-1.0-int8" 100
bundles 1.0 "$runs/student-1.0-taught"
taught "$runs/student-2.0-longer" "$runs/bench/results/people51-2.0-int8" 100 --set distillation.views=36
bundles 2.0 "$runs/student-2.0-longer"
# (The published 1.0 is of revision 92b07cb, recipe cpu with what is now longer, whose --init began with random distillation heads; now they are fitted.
# With those, 24 views and 54 epochs the 2.0 had come to 89.89 %.)
# 38 more epochs (at 1e-3) left the 1.0 at 89.14 %; that is in compression.md.
taught "$runs/student-1.0-more" "$runs/student-1.0-taught" 38 --set stage1.learning_rate=1e-3
# Those pruned to 60 and 40 % and by a budget that are in the table are of compression.sh, which goes on from here.

edgeface bench "$runs/bundles/teacher-float32" \
  "$runs/bundles/2.0-float32" "$here/people51-2.0-int8" "$here/people51-2.0-qat" \
  "$runs/bundles/1.0-float32" "$here/people51-1.0-int8" "$here/people51-1.0-qat" \
  "$here/people51-pruned60-taught-int8" "$here/people51-pruned40-taught-int8" "$here/people51-1.0-compressed" \
  --device cpu --data "$data" --out "$here/people51.json" --markdown "$here/people51.md"
devices="--device rpi4 --device rpi5 --device phone-mid"
models="$here/people51-1.0-int8 $here/people51-2.0-int8 $runs/bundles/1.0-float32 $runs/bundles/teacher-float32"
EDGEFACE_ARM_HOME=$runs/none edgeface bench $models $devices --device ethos-u55-128 --data "$data" \
  --out "$here/people51-devices.json" --markdown "$here/people51-devices.md"
edgeface bench $models $devices --data "$data" --out "$here/people51-emulated.json" --markdown "$here/people51-emulated.md"
