#!/usr/bin/env bash
# Trains all small models of this repository on a machine with a GPU: their data, every stage, and the weights in half
# precision in files of at most 15 MB, below $OUT/model as they lie in assets. Started again, it goes on where it was stopped.
#
#   PANOS=data/panos LPIPS=data/weights/lpips_vgg.safetensors misc/train_embedded_gpu.sh
#   STAGES="gan text2light sritmo" misc/train_embedded_gpu.sh     # just these, beside assets/embedded
#
# PANOS has index.csv, ldr/*.jpg and hdr/*.exr; docs/embedded-model.md says where the weights come from. Without `model` among
# the stages, the others are trained with assets/embedded. FEW=1 tries every stage with a few steps, also without a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
KNOWN="model seamless cubediff gan text2light sritmo"
STAGES=${STAGES:-$KNOWN}
PANOS=${PANOS:-data/panos} OUT=${OUT:-logs/gpu} WORKERS=${WORKERS:-$(nproc)} HEIGHT=${HEIGHT:-256} VIEW=${VIEW:-128}
LPIPS=${LPIPS:-data/weights/lpips_vgg.safetensors} EFFICIENTNET=${EFFICIENTNET:-data/weights/efficientnet_lite0.safetensors}
SCENES=${SCENES:-20000} DEPTH_SCENES=${DEPTH_SCENES:-1600} HELD_OUT=32 LIGHT_SCENES=${LIGHT_SCENES:-2000}
VIEWS=${VIEWS:-160000} SHARD=1000
DECODER_STEPS=${DECODER_STEPS:-6000} DECODER_BATCH=${DECODER_BATCH:-32}
CLIP_STEPS=${CLIP_STEPS:-4000} CLIP_BATCH=${CLIP_BATCH:-256}
UNET_STEPS=${UNET_STEPS:-40000} UNET_BATCH=${UNET_BATCH:-256}
PAINTER_STEPS=${PAINTER_STEPS:-30000} PAINTER_BATCH=${PAINTER_BATCH:-128}
UPSCALER_SCENES=${UPSCALER_SCENES:-1000} UPSCALER_STEPS=${UPSCALER_STEPS:-20000} UPSCALER_BATCH=${UPSCALER_BATCH:-64}
STREAMS_STEPS=${STREAMS_STEPS:-4000} STREAMS_BATCH=${STREAMS_BATCH:-32}
PANORAMAS_STEPS=${PANORAMAS_STEPS:-4000} PANORAMAS_BATCH=${PANORAMAS_BATCH:-16}
DEPTH_STEPS=${DEPTH_STEPS:-6000} DEPTH_BATCH=${DEPTH_BATCH:-16}
WORDS_STEPS=${WORDS_STEPS:-240} WORDS_BATCH=${WORDS_BATCH:-2}
CUBEDIFF_STEPS=${CUBEDIFF_STEPS:-6000} CUBEDIFF_BATCH=${CUBEDIFF_BATCH:-8}
GAN_STEPS=${GAN_STEPS:-60000} GAN_BATCH=${GAN_BATCH:-64}
GLOBAL_STEPS=${GLOBAL_STEPS:-20000} GLOBAL_BATCH=${GLOBAL_BATCH:-64}
LOCAL_STEPS=${LOCAL_STEPS:-30000} LOCAL_BATCH=${LOCAL_BATCH:-16}
GLOBAL_SAMPLER_STEPS=${GLOBAL_SAMPLER_STEPS:-30000} GLOBAL_SAMPLER_BATCH=${GLOBAL_SAMPLER_BATCH:-64}
LOCAL_SAMPLER_STEPS=${LOCAL_SAMPLER_STEPS:-40000} LOCAL_SAMPLER_BATCH=${LOCAL_SAMPLER_BATCH:-32}
SRITMO_STEPS=${SRITMO_STEPS:-60000} SRITMO_BATCH=${SRITMO_BATCH:-32}
all=(trainer.threads=null "trainer.num_workers=$WORKERS") statistics=()
if [ "${FEW:-}" ]; then
  # The twentieth scene is the first one that splits keep for validation.
  SCENES=20 DEPTH_SCENES=2 HELD_OUT=2 LIGHT_SCENES=20 UPSCALER_SCENES=2 VIEWS=8 SHARD=4 WORKERS=1
  for part in DECODER CLIP UNET PAINTER UPSCALER STREAMS PANORAMAS DEPTH WORDS CUBEDIFF GAN GLOBAL LOCAL GLOBAL_SAMPLER LOCAL_SAMPLER SRITMO; do
    declare "${part}_STEPS=2" "${part}_BATCH=2"
  done
  CLIP_BATCH=4
  statistics=(model.statistics_batches=1 model.generator.statistics=2)
  all=(trainer.threads=1 trainer.num_workers=0 trainer.validation_samples=2 trainer.image_samples=1)
fi
model=$OUT/model/embedded few=config/embedded/few_steps.yaml critic="SHARE.efficientnet=$EFFICIENTNET"
share=("SHARE.scenes=$OUT/scenes" "SHARE.real=$PANOS/ldr" "SHARE.real_captions=$OUT/captions" "SHARE.height=$HEIGHT")

fail() {
  echo "$1" >&2
  exit 2
}

# has NAME ...: one of these is among STAGES
has() {
  local name
  for name; do [[ " $STAGES " == *" $name "* ]] && return; done
  return 1
}

# stage NAME CONFIG STEPS BATCH [overrides]: one training, from its newest checkpoint if it has one; CONFIG: a file or several
stage() {
  local name=$1 steps=$3 batch=$4 config go=()
  read -ra config <<< "$2"
  shift 4
  [ -d "$OUT/$name/final" ] && return
  [ -d "$OUT/$name/checkpoints" ] && go=(--resume)
  python main.py -b "${config[@]}" -n "$name" --out_dir "$OUT" "${go[@]}" "${all[@]}" "trainer.max_steps=$steps" \
    "trainer.batch_size=$batch" "$@"
}

# scenes FOLDER COUNT [flags]: those that are not there yet
scenes() {
  local folder=$1 count=$2
  shift 2
  python misc/make_scenes.py --out_dir "$OUT/$folder" --count "$count" --height "$HEIGHT" --num_workers "$WORKERS" "$@"
}

assemble() { python misc/assemble_embedded.py --out_dir "$model" --shard_megabytes 15 "$@"; }

for name in $STAGES; do [[ " $KNOWN " == *" $name "* ]] || fail "STAGES: unknown stage $name; known: $KNOWN"; done
if has model; then
  [ ! -d "$model" ] || [ -d "$OUT/decoder" ] || fail "OUT: stages in $OUT were trained with assets/embedded; name another folder"
elif [ ! -f "$model/model_index.json" ]; then
  assemble --vae assets/embedded --clip assets/embedded --unet assets/embedded --streams assets/embedded/aognet
fi
if has model seamless cubediff gan text2light; then scenes scenes "$SCENES"; fi
if has model seamless cubediff; then
  python misc/index_captions.py --index "$PANOS/index.csv" --out_dir "$OUT/captions" --prefix real
fi

if has model; then
  stage decoder config/embedded/decoder.yaml "$DECODER_STEPS" "$DECODER_BATCH" "${share[@]}" "SHARE.view=$VIEW" "SHARE.lpips=$LPIPS"
  [ -d "$OUT/tokenizer" ] || python misc/train_tokenizer.py --captions "$OUT/scenes/captions.jsonl" \
    "$OUT/scenes/captions_aug.jsonl" "$OUT/captions/real_train.jsonl" --out_dir "$OUT/tokenizer" --vocabulary 1536 --length 48
  stage clip config/embedded/clip.yaml "$CLIP_STEPS" "$CLIP_BATCH" "${share[@]}" "SHARE.view=$VIEW" "model.tokenizer=$OUT/tokenizer"
  unet=("${share[@]}" "SHARE.view=$VIEW" "SHARE.latents=$OUT/latents" "SHARE.text=$OUT/clip/final" "data.train.count=$VIEWS"
    "data.train.shard=$SHARD" "model.sample_size=$((VIEW / 8))")
  python misc/encode_views.py -b config/embedded/unet.yaml --batch_size 64 "${unet[@]}"
  stage unet config/embedded/unet.yaml "$UNET_STEPS" "$UNET_BATCH" "${unet[@]}"
  stage painter "config/embedded/unet.yaml $few" "$PAINTER_STEPS" "$PAINTER_BATCH" "${unet[@]}" "$critic" \
    "model.start=$OUT/unet/final" model.drop_known=0.2
  scenes large_scenes "$UPSCALER_SCENES" --height $((2 * HEIGHT))
  stage upscaler config/embedded/upscaler.yaml "$UPSCALER_STEPS" "$UPSCALER_BATCH" "SHARE.scenes=$OUT/large_scenes" \
    "SHARE.real=$PANOS/ldr" "SHARE.real_captions=$OUT/captions" "SHARE.vae=$OUT/decoder/final" "$critic" \
    "data.train.height=$((2 * HEIGHT))" "data.validation.height=$((2 * HEIGHT))"
  assemble --vae "$OUT/decoder/final" --clip "$OUT/clip/final" --unet "$OUT/painter/final" --upscaler "$OUT/upscaler/final"
  stage streams "config/train_embedded.yaml $few" "$STREAMS_STEPS" "$STREAMS_BATCH" "$critic" \
    "${share[@]}" "SHARE.view=$VIEW" "SHARE.face=$((VIEW / 2))" "model.backbone.model=$model" "model.clip.model=$model"
  assemble --streams "$OUT/streams/final"
fi

if has seamless; then
  backbone=("model.backbone.model=$model" "model.backbone.encodings.folder=$OUT/encodings")
  lora=$OUT/panorama_lora.safetensors
  stage panoramas "config/train_embedded_seamless.yaml $few" "$PANORAMAS_STEPS" "$PANORAMAS_BATCH" "$critic" \
    "${share[@]}" "${backbone[@]}"
  [ -f "$lora" ] || python misc/export.py "$OUT/panoramas" --out "$lora"
  scenes depth_scenes "$DEPTH_SCENES" --depth_dir "$OUT/depth_maps"
  scenes held_out "$HELD_OUT" --depth_dir "$OUT/held_out_depth_maps" --seed 920000
  stage depth "config/train_embedded_depth.yaml $few" "$DEPTH_STEPS" "$DEPTH_BATCH" "$critic" \
    "SHARE.height=$HEIGHT" "${backbone[@]}" "SHARE.scenes=$OUT/depth_scenes" "SHARE.depth=$OUT/depth_maps" "SHARE.held_out=$OUT/held_out" \
    "SHARE.held_out_depth=$OUT/held_out_depth_maps" "model.backbone.loras=[{file: $lora}]"
  python misc/golden_light.py --panos "$PANOS" --out_dir "$OUT/golden"
  stage words config/train_embedded_seamless.yaml "$WORDS_STEPS" "$WORDS_BATCH" "${share[@]}" "${backbone[@]}" model.train=none \
    "model.backbone.loras=[{file: $lora}]" model.learn_words.count=2 model.learn_words.start=a \
    "model.learn_words.template='{caption} {words}'" model.learn_words.rate=0.5 model.drop_text=0 \
    "data.train.folders=[$OUT/golden]" "data.train.repeats=[1]" "data.train.captions=[$OUT/golden/train.jsonl]" \
    "data.validation.folders=[$OUT/golden]" "data.validation.captions=[$OUT/golden/test.jsonl]" data.train.turns=16 \
    data.validation.turns=16 trainer.validate_every=60 trainer.ema_decay=0.95
  assemble --seamless "$OUT/panoramas/final" --depth "$OUT/depth/final/small" --words "$OUT/words/final"
fi

if has cubediff; then
  stage cubediff "config/train_embedded_cubediff.yaml $few" "$CUBEDIFF_STEPS" "$CUBEDIFF_BATCH" "$critic" \
    "${share[@]}" "SHARE.size=$VIEW" "model.backbone.model=$model"
  assemble --cubediff "$OUT/cubediff/final" --rank 16
fi

if has gan; then
  python misc/name_kinds.py --scenes "$OUT/scenes" --out_dir "$OUT/kinds"
  stage gan config/embedded/ganorama.yaml "$GAN_STEPS" "$GAN_BATCH" "SHARE.scenes=$OUT/scenes" "SHARE.kinds=$OUT/kinds" \
    "SHARE.height=$HEIGHT" "$critic" "${statistics[@]}"
  assemble --ganorama "$OUT/gan/final"
fi

if has text2light; then
  parts=("SHARE.scenes=$OUT/scenes" "SHARE.global_autoencoder=$OUT/text2light_global/final"
    "SHARE.local_autoencoder=$OUT/text2light_local/final")
  codes=("${parts[@]}" "model.encodings.folder=$OUT/encodings")
  stage text2light_global config/embedded/text2light_global.yaml "$GLOBAL_STEPS" "$GLOBAL_BATCH" "${parts[@]}" "model.perceptual=$LPIPS"
  stage text2light_local config/embedded/text2light_local.yaml "$LOCAL_STEPS" "$LOCAL_BATCH" "${parts[@]}" "model.perceptual=$LPIPS"
  stage global_sampler config/embedded/text2light_global_sampler.yaml "$GLOBAL_SAMPLER_STEPS" "$GLOBAL_SAMPLER_BATCH" \
    "${codes[@]}" "model.clip.model=$model"
  stage local_sampler config/embedded/text2light_local_sampler.yaml "$LOCAL_SAMPLER_STEPS" "$LOCAL_SAMPLER_BATCH" "${codes[@]}"
  assemble --text2light "$OUT/text2light_global/final" "$OUT/global_sampler/final" "$OUT/text2light_local/final" \
    "$OUT/local_sampler/final"
fi

if has sritmo; then
  scenes light "$LIGHT_SCENES" --format exr --kinds all
  python misc/index_captions.py --index "$PANOS/index.csv" --out_dir "$OUT/captions" --prefix light --suffix .exr
  stage sritmo config/embedded/sritmo.yaml "$SRITMO_STEPS" "$SRITMO_BATCH" "SHARE.light=$OUT/light" "SHARE.real=$PANOS/hdr" \
    "SHARE.real_captions=$OUT/captions/light_train.jsonl"
  assemble --sritmo "$OUT/sritmo/final"
fi

find "$OUT/model" -name '*.safetensors' -size +15360k | grep . && fail "a file is larger than 15 MB"
echo "the models are in $OUT/model"
