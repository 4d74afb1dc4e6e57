#!/usr/bin/env bash
# The embedded model's next training on a machine with a GPU: data, every stage, and the parts in half precision in files
# of at most 15 MB, below $OUT/model. Started again, it goes on where it was stopped.
#
#   PANOS=data/panos LPIPS=data/weights/lpips_vgg.safetensors misc/train_embedded_gpu.sh
#
# PANOS has index.csv and ldr/*.jpg; docs/embedded-model.md says where LPIPS comes from. FEW=1 tries every stage with a few
# steps, also without a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
PANOS=${PANOS:-data/panos} LPIPS=${LPIPS:-data/weights/lpips_vgg.safetensors} OUT=${OUT:-logs/gpu}
WORKERS=${WORKERS:-$(nproc)} HEIGHT=${HEIGHT:-256} VIEW=${VIEW:-128}
SCENES=${SCENES:-20000} VIEWS=${VIEWS:-160000} SHARD=1000
DECODER_STEPS=${DECODER_STEPS:-6000} DECODER_BATCH=${DECODER_BATCH:-32}
CLIP_STEPS=${CLIP_STEPS:-4000} CLIP_BATCH=${CLIP_BATCH:-256}
UNET_STEPS=${UNET_STEPS:-40000} UNET_BATCH=${UNET_BATCH:-256}
STREAMS_STEPS=${STREAMS_STEPS:-4000} STREAMS_BATCH=${STREAMS_BATCH:-32}
all=(trainer.threads=null "trainer.num_workers=$WORKERS")
if [ "${FEW:-}" ]; then
  SCENES=4 VIEWS=8 SHARD=4 WORKERS=1
  DECODER_STEPS=2 DECODER_BATCH=2 CLIP_STEPS=2 CLIP_BATCH=4 UNET_STEPS=2 UNET_BATCH=2 STREAMS_STEPS=2 STREAMS_BATCH=2
  all=(trainer.threads=1 trainer.num_workers=0 trainer.validation_samples=2 trainer.image_samples=1)
fi
share=("SHARE.scenes=$OUT/scenes" "SHARE.real=$PANOS/ldr" "SHARE.real_captions=$OUT/captions" "SHARE.height=$HEIGHT" "SHARE.view=$VIEW")

# stage NAME CONFIG STEPS BATCH [overrides]: one training, from its newest checkpoint if it has one
stage() {
  local name=$1 config=$2 steps=$3 batch=$4 go=()
  shift 4
  [ -d "$OUT/$name/final" ] && return
  [ -d "$OUT/$name/checkpoints" ] && go=(--resume)
  python main.py -b "$config" -n "$name" --out_dir "$OUT" "${go[@]}" "${all[@]}" "trainer.max_steps=$steps" \
    "trainer.batch_size=$batch" "$@"
}

python misc/make_scenes.py --out_dir "$OUT/scenes" --count "$SCENES" --height "$HEIGHT" --num_workers "$WORKERS"
python misc/index_captions.py --index "$PANOS/index.csv" --out_dir "$OUT/captions" --prefix real
stage decoder config/embedded/next/decoder.yaml "$DECODER_STEPS" "$DECODER_BATCH" "${share[@]}" "SHARE.lpips=$LPIPS"
[ -d "$OUT/tokenizer" ] || python misc/train_tokenizer.py --captions "$OUT/scenes/captions.jsonl" \
  "$OUT/scenes/captions_aug.jsonl" "$OUT/captions/real_train.jsonl" --out_dir "$OUT/tokenizer" --vocabulary 1536 --length 48
stage clip config/embedded/next/clip.yaml "$CLIP_STEPS" "$CLIP_BATCH" "${share[@]}" "model.tokenizer=$OUT/tokenizer"
unet=("${share[@]}" "SHARE.latents=$OUT/latents" "SHARE.text=$OUT/clip/final" "data.train.count=$VIEWS" "data.train.shard=$SHARD"
  "model.sample_size=$((VIEW / 8))")
python misc/encode_views.py -b config/embedded/next/unet.yaml --batch_size 64 "${unet[@]}"
stage unet config/embedded/next/unet.yaml "$UNET_STEPS" "$UNET_BATCH" "${unet[@]}"
python misc/assemble_embedded.py --vae "$OUT/decoder/final" --clip "$OUT/clip/final" --unet "$OUT/unet/final" \
  --out_dir "$OUT/model" --shard_megabytes 15
stage streams config/train_embedded.yaml "$STREAMS_STEPS" "$STREAMS_BATCH" "${share[@]}" "SHARE.face=$((VIEW / 2))" \
  "model.backbone.model=$OUT/model" "model.clip.model=$OUT/model"
python misc/assemble_embedded.py --streams "$OUT/streams/final" --out_dir "$OUT/model" --shard_megabytes 15
find "$OUT/model" -name '*.safetensors' -size +15360k | grep . && { echo "a file is larger than 15 MB" >&2; exit 1; }
echo "the model is in $OUT/model"
