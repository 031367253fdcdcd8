#!/usr/bin/env bash
# Every figure of compression.md: pruning with and without the teacher, int8 against qat, MobileFaceNet, and the times.
#   bash bench/results/compression.sh DATA RUNS          (a day or more on 2 idle cores)
# Needs RUNS/teacher and RUNS/student-1.0-taught, which people51.sh trains (STUDENT=RUN takes another 1.0 student; without
# a teacher the taught steps are left out). SEEDS="0 1 2" are the seeds of fine-tuning.
# Finished steps are skipped and interrupted ones resumed, so it may be stopped and started over several days; what is
# not there yet is 'not measured' in the table. It is written again after every step.
set -euo pipefail
data=$1 runs=$2
seeds=${SEEDS:-0 1 2}
here=$(cd "$(dirname "$0")" && pwd)
work=$runs/compression
teacher=$runs/teacher student=${STUDENT:-$runs/student-1.0-taught}
note="Trained on film and public figures for research; not for commercial use, no redistribution of the photographs."
mkdir -p "$work/bundles"

taught() { [ -e "$teacher/run.json" ]; } # whether there is a teacher

finished() { # of the run itself: run.json tells of its teacher's figures, too
  python -c 'import json, sys; sys.exit(not json.load(open(sys.argv[1]))["figures"].get("finished"))' "$1/run.json" 2>/dev/null
}

once() { # NAME COMMAND...: what the command prints as JSON becomes WORK/NAME.json, its seconds WORK/seconds-NAME.json
  local name=$1 file=$work/$1.json start=$SECONDS
  shift
  [ -s "$file" ] && return
  "$@" --json > "$file.part" || [ $? -eq 1 ] # 1: below a gate, which is a result, too
  echo "{\"wall\": $((SECONDS - start))}" > "$work/seconds-$name.json"
  mv "$file.part" "$file"
  table
}

table() { python "$here/compression.py" "$work" "$here"; }

train() { # RUN SIZE OPTIONS...: a student from scratch
  local run=$1 size=$2
  shift 2
  finished "$run" && return
  if [ -e "$run/checkpoints/checkpoint" ]; then
    edgeface train student "$data" "$@" --out "$run" --resume
  else
    rm -rf "$run"
    edgeface train student "$data" "$@" --out "$run" --recipe cpu --set size="$size"
  fi
}

prune() { # RUN OPTIONS...: a pruned student; the same command goes on where it was stopped
  local run=$1
  shift
  finished "$run" || edgeface prune "$student" --data "$data" --out "$run" "$@"
}

quantize() { # NAME RUN MODE OPTIONS...
  local name=$1 run=$2 mode=$3
  shift 3
  once "$name" edgeface quantize "$run" --mode "$mode" --data "$data" --out "$work/bundles/$name" --note "$note" "$@"
}

# int8 against qat, alone and taught
quantize student-int8 "$student" int8
for seed in $seeds; do
  [ "$seed" = 0 ] || quantize "student-int8-s$seed" "$student" int8 --seed "$seed"
  quantize "student-qat-alone-s$seed" "$student" qat --seed "$seed"
  if taught; then quantize "student-qat-taught-s$seed" "$student" qat --seed "$seed" --teacher "$teacher"; fi
  quantize "student-qat-self-s$seed" "$student" qat --seed "$seed" --self-distill
done

# Pruned to 60 % and 40 % of the MACs
for seed in $seeds; do
  prune "$work/pruned60-alone-s$seed" --keep-macs 0.6 --seed "$seed"
  quantize "pruned60-alone-int8-s$seed" "$work/pruned60-alone-s$seed" int8
  if ! taught; then continue; fi
  prune "$work/pruned60-taught-s$seed" --keep-macs 0.6 --seed "$seed" --teacher "$teacher"
  quantize "pruned60-taught-int8-s$seed" "$work/pruned60-taught-s$seed" int8
  prune "$work/pruned40-taught-s$seed" --keep-macs 0.4 --seed "$seed" --teacher "$teacher"
  quantize "pruned40-taught-int8-s$seed" "$work/pruned40-taught-s$seed" int8
done
first=${seeds%% *}
shipped=("pruned60-alone-int8-s$first") teaching=()
if taught; then
  shipped=("pruned60-taught-int8-s$first" "pruned40-taught-int8-s$first")
  teaching=(--teacher "$teacher")
fi
once bench-pruned edgeface bench "$work/bundles/student-int8" "${shipped[@]/#/$work/bundles/}" --threads 1

# 1.0 and MobileFaceNet at 112 px from the same training budget: the same recipe, no teacher
train "$work/student-112" 112 --width 1.0
train "$work/mobilefacenet-112" 112 --network mobilefacenet
quantize peer-mobilefacenet "$work/mobilefacenet-112" int8
quantize timed-int8 "$work/student-112" int8
quantize timed-qat "$work/student-112" qat --epochs 1
once bench-peer edgeface bench "$work/bundles/peer-mobilefacenet" "$work/bundles/timed-int8" --threads 1 --data "$data"

# A budget, the front of all tries, and its bundle
once budget edgeface compress "$student" "${teaching[@]}" --data "$data" --work "$work/search" \
  --budget "size<=600KB, drop<=3.0" --keep 1,0.6,0.4 --all --note "$note" --out "$here/people51-1.0-compressed"

if taught; then shipped+=("student-qat-taught-s$first"); fi
for name in "${shipped[@]}"; do
  rm -rf "$here/people51-$name"
  cp -r "$work/bundles/$name" "$here/people51-$name"
done
table
