#!/usr/bin/env bash
# Each model's default, and one change at a time: the studies behind the table of ablations
# in results/ablations.md. They go to results/ablations/; what is there goes on, or is left alone if done.
# The table is of the rows in this folder: copy each study's four .json and .jsonl files here.
#
#   bash results/measured/ablations/run.sh path/to/cifar10     # bird and truck left out, 2,000 images
#   bash results/measured/ablations/run.sh digits              # 3 and 8 left out, the models' fair budgets
set -euo pipefail
[ "$1" = digits ] || set -- "$(realpath "$1")"
cd "$(dirname "$0")/../../.."
declare -A steps=() own=()
if [ "$1" = digits ]; then
    data=digits flags=(--dataset digits --abnormal_class 3 8) small=()
else
    data=cifar10 flags=(--dataset "$1" --abnormal_class bird truck --limit_train 2000 --limit_test 2000)
    flags+=(--batch_size 16) small=(ngf=16 ndf=16)
    steps=([w_skipganomaly]=1000 [f_anogan]=1000 [anogan]=1000) own=([f_anogan]=gan_steps=670)
fi

study() {  # MODEL[-CHANGE], then its hyperparameters and flags
    local name=$data-$1 model=${1%%-*} values=("${small[@]}") more=()
    shift
    values+=(${own[$model]:-})
    for word; do
        if [[ $word == *=* ]]; then values+=("$word"); else more+=("$word"); fi
    done
    [ $data = digits ] || more+=(--steps "${steps[$model]:-2500}")
    [ ${#values[@]} = 0 ] || more+=(--set "${values[@]}")
    if [ -d "results/ablations/$name" ]; then more=(--resume) flags_now=(); else
        flags_now=(--model "$model" "${flags[@]}" --trials 0 --seeds 1 --keep_models none)
    fi
    python train_tune.py --results_dir results/ablations --name "$name" "${flags_now[@]}" "${more[@]}"
}

if [ $data = cifar10 ]; then
    study ganomaly; study skipganomaly; study w_skipganomaly; study egbad; study f_anogan
    study ganomaly-average average=0.99
    study ganomaly-decay --niter_decay 8
    study skipganomaly-near score_near=0.5
    study w_skipganomaly-near score_near=0.5
    study anogan --epochs 1
    study anogan-norm --epochs 1 batch_norm=True
fi
study ganomaly-released generator_first=True restart_discriminator=True score_squared=True
for model in skipganomaly w_skipganomaly; do
    study $model-noskip skip=False
    study $model-rotations w_rot=1 augment=True
    study $model-classes w_class=3
done
study skipganomaly-released discriminator_latent=True restart_discriminator=True
study egbad-dropout dropout=0.5
study egbad-noise fresh_noise=True
study egbad-average average=0.999
study egbad-entropy feature_matching=False
study egbad-judged feature_matching=False judge_reconstruction=True
# The rows of these three, but for digits-f_anogan-neither, are of an earlier commit, whose default was
# f_anogan-neither.
study f_anogan-norm bound_latent=False
study f_anogan-bound batch_norm=False
study f_anogan-neither batch_norm=False bound_latent=False
study f_anogan-alone encoder_beside=False
