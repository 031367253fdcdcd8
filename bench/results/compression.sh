#!/usr/bin/env bash
# Every figure of compression.md: pruning with and without a teacher, int8 against qat, MobileFaceNet, and the times.
#   bash bench/results/compression.sh DATA RUNS          (a day on 2 idle cores, less with SEEDS=0)
# The student and the teacher are the runs that people51-taught.sh made in RUNS. TEACHER=RUN and STUDENT=RUN take others;
# SEEDS="0 1" are the seeds of fine-tuning, PEER_EPOCHS the training of the two networks that are compared at 112 px.
# Finished steps are skipped and interrupted ones resumed, so it may be stopped and started over several days; what is
# not there yet is 'not measured' in the table. It is written again after every step.
set -euo pipefail
data=$1 runs=$2
seeds=${SEEDS:-0 1 2} peer_epochs=${PEER_EPOCHS:-24}
here=$(cd "$(dirname "$0")" && pwd)
work=$runs/compression
teacher=${TEACHER:-$runs/teacher} student=${STUDENT:-$runs/student-1.0-taught}
qat="--epochs 1 --frozen 0 --learning-rate 1e-4" gentle="--epochs 4 --frozen 1 --learning-rate 3e-5"
note="Trained on film and public figures for research; not for commercial use, no redistribution of the photographs."
mkdir -p "$work/bundles" "$work/audit"

finished() { # of the run itself: run.json tells of its teacher's figures, too
  python -c 'import json, sys; sys.exit(not json.load(open(sys.argv[1]))["figures"].get("finished"))' "$1/run.json" 2>/dev/null
}

once() { # NAME COMMAND...: what the command prints as JSON becomes WORK/NAME.json, its seconds WORK/seconds-NAME.json
  local name=$1 file=$work/$1.json start=$SECONDS
  shift
  [ -s "$file" ] && return
  "$@" --json > "$file.part" || { [ $? -eq 1 ] && [ -s "$file.part" ]; } # 1: below a gate, which is a result, too
  echo "{\"wall\": $((SECONDS - start))}" > "$work/seconds-$name.json"
  mv "$file.part" "$file"
  table
}

table() {
  cp "$teacher/run.json" "$work/teacher.json"
  echo "{\"epochs\": $peer_epochs}" > "$work/peer.json"
  python "$here/compression.py" "$work" "$here"
}

prune() { # FROM RUN OPTIONS...: a pruned student; the same command goes on where it was stopped
  local from=$1 run=$2
  shift 2
  finished "$run" || edgeface prune "$from" --data "$data" --out "$run" "$@"
}

# The published taught runs of seed 0: revision 92b07cb, recipe cpu with what is now longer, whose --init began with random distillation heads; now they are fitted.
longer() { # FROM RUN EPOCHS OPTIONS...: trains a pruned student on, as people51-taught.sh did the student
  local from=$1 run=$2 epochs=$3
  shift 3
  finished "$run" && return
  if [ -e "$run/checkpoints/checkpoint" ]; then
    edgeface train student "$data" --out "$run" --resume
  else
    rm -rf "$run"
    edgeface train student "$data" --out "$run" --recipe longer --init "$from" --precision bf16 \
      --set stage1.epochs="$epochs" "$@"
  fi
}

peer() { # RUN OPTIONS...: a network from scratch at 112 px
  local run=$1
  shift
  finished "$run" && return
  if [ -e "$run/checkpoints/checkpoint" ]; then
    edgeface train student "$data" "$@" --out "$run" --resume
  else
    rm -rf "$run"
    edgeface train student "$data" "$@" --out "$run" --recipe cpu --precision bf16 \
      --set size=112 --set batch_size=32 --set stage0.epochs="$peer_epochs" --set stage1.epochs=0
  fi
}

quantize() { # NAME RUN MODE OPTIONS...
  local name=$1 run=$2 mode=$3
  shift 3
  once "$name" edgeface quantize "$run" --mode "$mode" --data "$data" --out "$work/bundles/$name" --note "$note" "$@"
}

# int8 against qat, alone and taught; pruned to 60 % of the MACs and from there to 40 %
for seed in $seeds; do
  quantize "student-int8-s$seed" "$student" int8 --seed "$seed"
  quantize "student-qat-alone-s$seed" "$student" qat --seed "$seed" $qat
  quantize "student-qat-self-s$seed" "$student" qat --seed "$seed" $qat --self-distill
  quantize "student-qat-both-s$seed" "$student" qat --seed "$seed" $qat --self-distill --teacher "$teacher"
  quantize "student-qat-taught-s$seed" "$student" qat --seed "$seed" $qat --teacher "$teacher"
  quantize "student-qat-gentle-alone-s$seed" "$student" qat --seed "$seed" $gentle
  quantize "student-qat-gentle-taught-s$seed" "$student" qat --seed "$seed" $gentle --teacher "$teacher"
  prune "$student" "$work/pruned60-alone-s$seed" --keep-macs 0.6 --seed "$seed"
  quantize "pruned60-alone-int8-s$seed" "$work/pruned60-alone-s$seed" int8
  longer "$work/pruned60-alone-s$seed" "$work/pruned60-alone-long-s$seed" 60 --seed "$seed"
  quantize "pruned60-alone-long-int8-s$seed" "$work/pruned60-alone-long-s$seed" int8
  prune "$student" "$work/pruned60-taught-s$seed" --keep-macs 0.6 --seed "$seed" --teacher "$teacher"
  quantize "pruned60-taught-int8-s$seed" "$work/pruned60-taught-s$seed" int8
  longer "$work/pruned60-taught-s$seed" "$work/pruned60-taught-long-s$seed" 60 --seed "$seed" --teacher "$teacher"
  quantize "pruned60-taught-long-int8-s$seed" "$work/pruned60-taught-long-s$seed" int8
  prune "$work/pruned60-taught-long-s$seed" "$work/pruned40-taught-s$seed" --keep-macs 0.667 --rounds 1 \
    --seed "$seed" --teacher "$teacher"
  longer "$work/pruned40-taught-s$seed" "$work/pruned40-taught-long-s$seed" 20 --seed "$seed" --teacher "$teacher"
  quantize "pruned40-taught-long-int8-s$seed" "$work/pruned40-taught-long-s$seed" int8
done
first=${seeds%% *}
quantize "student-long-int8-s$first" "$runs/student-1.0-more" int8 # the unpruned one was trained on as well
pruned=($(printf "pruned60-taught-long-int8-s%s " $seeds) "pruned40-taught-long-int8-s$first")
once bench-pruned edgeface bench "$work/bundles/student-int8-s$first" "${pruned[@]/#/$work/bundles/}" --threads 1
once sensitivity edgeface sensitivity "$student" --data "$data" --out "$work/audit/sensitivity.json"
cp "$work/audit/sensitivity.png" "$here/compression-sensitivity.png"

# 1.0 and MobileFaceNet at 112 px by the same recipe, without a teacher
peer "$work/student-112" --width 1.0
peer "$work/mobilefacenet-112" --network mobilefacenet
quantize peer-mobilefacenet "$work/mobilefacenet-112" int8
quantize timed-int8 "$work/student-112" int8
quantize timed-qat "$work/student-112" qat $qat
once bench-peer edgeface bench "$work/bundles/peer-mobilefacenet" "$work/bundles/timed-int8" --threads 1 --data "$data"

# A budget, the front of all tries, and its bundle
once budget edgeface compress "$student" --teacher "$teacher" --data "$data" --work "$work/search" \
  --budget "size<=600KB, drop<=1.0, fps>=1.5x" --last-epochs 60 --note "$note" --out "$here/people51-1.0-compressed"
cp "$work/search/front.png" "$here/compression-front.png"

for share in 60 40; do
  rm -rf "$here/people51-pruned$share-taught-int8"
  edgeface quantize "$work/pruned$share-taught-long-s$first" --mode int8 --data "$data" --note "$note" \
    --out "$here/people51-pruned$share-taught-int8"
done
table
