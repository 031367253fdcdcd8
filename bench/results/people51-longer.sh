#!/usr/bin/env bash
# The students published beside this file: those of revision e1e765a, taught but spoiled by a bug, trained on alone from
# their int8 bundles, since their runs and their teacher's are lost.
#   bash bench/results/people51-longer.sh DATA RUNS          (3 hours on 2 cores)
# An interrupted run is resumed and finished ones are skipped; rewrites the bundles, people51.json and people51.md here.
set -euo pipefail
data=$1 runs=$2
here=$(cd "$(dirname "$0")" && pwd)
note="Trained on film and public figures for research; not for commercial use, no redistribution of the photographs."
mkdir -p "$runs/bundles"
git -C "$here/../.." archive e1e765a bench/results | tar -x -C "$runs"

longer() { # WIDTH EPOCHS QAT-OPTIONS...: a student trained on, and its bundles
  local width=$1 epochs=$2 run=$runs/student-$1-longer
  shift 2
  if [ -e "$run/checkpoints/checkpoint" ]; then
    edgeface train student "$data" --out "$run" --resume
  else
    rm -rf "$run"
    edgeface train student "$data" --init "$runs/bench/results/people51-$width-int8" --out "$run" --recipe cpu \
      --set stage0.epochs=0 --set stage1.epochs="$epochs" --set stage1.learning_rate=1e-3
  fi
  quantize "$run" float32 "$runs/bundles/$width-float32"
  quantize "$run" int8 "$here/people51-$width-int8"
  quantize "$run" qat "$here/people51-$width-qat" --self-distill "$@"
}

quantize() { # RUN MODE FOLDER OPTIONS...
  local run=$1 mode=$2 out=$3
  shift 3
  rm -rf "$out"
  edgeface quantize "$run" --mode "$mode" --out "$out" --data "$data" --note "$note" "$@"
}

longer 1.0 36 --epochs 1 --frozen 0 --learning-rate 1e-4
longer 2.0 14 --epochs 1 --frozen 0
edgeface prune "$runs/student-1.0-longer" --data "$data" --keep-macs 0.6 --rounds 2 --out "$runs/pruned60-alone"
quantize "$runs/pruned60-alone" int8 "$here/people51-pruned60-alone-int8"
edgeface bench "$runs/bundles/1.0-float32" "$here/people51-1.0-int8" "$here/people51-1.0-qat" \
  "$runs/bundles/2.0-float32" "$here/people51-2.0-int8" "$here/people51-2.0-qat" \
  "$here/people51-pruned60-alone-int8" --device cpu --data "$data" --out "$here/people51.json" --markdown "$here/people51.md"
devices="--device rpi4 --device rpi5 --device phone-mid"
EDGEFACE_ARM_HOME=$runs/none edgeface bench "$here/people51-1.0-int8" "$here/people51-2.0-int8" "$runs/bundles/1.0-float32" \
  $devices --device ethos-u55-128 --data "$data" --out "$here/people51-devices.json" --markdown "$here/people51-devices.md"
edgeface bench "$here/people51-1.0-int8" "$here/people51-2.0-int8" "$runs/bundles/1.0-float32" "$runs/bundles/2.0-float32" \
  $devices --data "$data" --out "$here/people51-emulated.json" --markdown "$here/people51-emulated.md"
