#!/bin/bash
#SBATCH --job-name=venhancer
#SBATCH --array=0-63            # as many tasks as shards; tasks that end early cost nothing
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120       # stop before the limit; requeued tasks go on from the last segment
#SBATCH --requeue
set -euo pipefail

# Every task runs the same command on the same folders, which all nodes see.
srun venhancer fleet run clips/ enhanced/ --scale 4 --fps 24 --shard "${SLURM_ARRAY_TASK_ID}/64"
