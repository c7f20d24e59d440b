"""The routed-MoE families of the installed transformers as a table of tiny models, one or more of each."""

from collections.abc import Mapping
from typing import Any

from support.tiny_family import VOCABULARY, Settings, TinyFamily

_MLA: Settings = {
    **{"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8},
    "num_key_value_heads": 4,
}
_INDEXER: Settings = {"index_topk": 64, "index_head_dim": 8, "index_n_heads": 2}
_LINEAR: Settings = {
    **{"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "num_hidden_layers": 4,
}
_SHARED_LAST: Settings = {"mlp_layer_types": ["dense", "sparse", "sparse"]}
_MOE: Settings = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "intermediate_size": 32}
_LOCAL: Settings = {"num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 24}
_V3: Settings = {
    **{"n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1},
    **{"moe_intermediate_size": 16, "intermediate_size": 32},
}
_GROUPS: Settings = {"n_group": 4, "topk_group": 2}
_V3_GROUPED: Settings = {**_V3, **_GROUPS, "n_routed_experts": 16, "num_experts_per_tok": 4}
_HEAD: Settings = {"head_dim": 8}
_WINDOW: Settings = {"sliding_window": 64}
_DENSE_FIRST: Settings = {"first_k_dense_replace": 1}
_PARTIAL_ROPE: Settings = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}

_EYE: Settings = {
    **{"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32},
    **{"patch_size": 2, "temporal_patch_size": 2, "spatial_merge_size": 2},
}
_QWEN_EYE: Settings = {**_EYE, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
_SMALL_EYE: Settings = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_OCR_EYE: Settings = {
    "sam_config": {
        **{"hidden_size": 16, "output_channels": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32},
        **{
            "patch_size": 8,
            "global_attn_indexes": [0],
            "downsample_channels": [8, 16],
            "window_size": 2,
            "mlp_dim": 16,
        },
    },
    "encoder_config": _SMALL_EYE,
}
_EAR: Settings = {
    **{"num_mel_bins": 8, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "d_model": 16},
    **{"output_dim": 32, "downsample_hidden_size": 8, "max_source_positions": 16},
}


def _causal(name: str, stem: str, settings: Settings, config: str = "Config", **more: Any) -> TinyFamily:
    return TinyFamily(name, f"{stem}ForCausalLM", f"{stem}{config}", settings, **more)


def _multimodal(name: str, stem: str, settings: Settings, parts: Settings, **more: Any) -> TinyFamily:
    return TinyFamily(
        name,
        f"{stem}ForConditionalGeneration",
        f"{stem}Config",
        settings,
        text_config=more.pop("text_config", f"{stem}TextConfig"),
        parts=parts,
        **more,
    )


FAMILIES: tuple[TinyFamily, ...] = (
    _causal("afmoe", "Afmoe", {**_MOE, **_HEAD, **_WINDOW, "num_shared_experts": 1, "num_dense_layers": 1}),
    TinyFamily(
        "aria",
        "AriaTextForCausalLM",
        "AriaTextConfig",
        {"moe_num_experts": 8, "moe_topk": 2, "moe_num_shared_experts": 1, "intermediate_size": 24},
    ),
    _causal("axk1", "AXK1", {**_MLA, **_V3_GROUPED, **_SHARED_LAST}, grouped=True),
    _causal("axk2", "AXK2", {**_MLA, **_INDEXER, **_V3, **_SHARED_LAST, "gated_norm_rank": 4}),
    _causal(
        "bailing_hybrid",
        "BailingHybrid",
        {
            **{**_MLA, **_V3_GROUPED, **_SHARED_LAST, **_HEAD, "num_local_experts": 16},
            "layer_types": ["linear_attention", "linear_attention", "full_attention"],
        },
        grouped=True,
    ),
    _causal(
        "beam",
        "Beam",
        {**_MOE, **_HEAD, **_GROUPS, **_SHARED_LAST, "num_experts": 16, "num_experts_per_tok": 4},
        grouped=True,
    ),
    _causal("cohere2_moe", "Cohere2Moe", {**_MOE, **_HEAD, "intermediate_size": 24}),
    TinyFamily(
        "dbrx",
        "DbrxForCausalLM",
        "DbrxConfig",
        {
            **{"vocab_size": VOCABULARY, "d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": 256},
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 8, "moe_top_k": 2, "hidden_size": 32},
            **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
        },
    ),
    _multimodal(
        "deepseek_ocr2",
        "DeepseekOcr2",
        {**_V3, **_SHARED_LAST},
        {"vision_config": {**_OCR_EYE, "encoder_config": {**_SMALL_EYE, "num_key_value_heads": 2}}},
    ),
    _causal(
        "deepseek_v2",
        "DeepseekV2",
        {**_MLA, **_V3, **_DENSE_FIRST, "q_lora_rank": None, "topk_method": "greedy", "n_group": 1, "topk_group": 1},
    ),
    _causal(
        "deepseek_v2_group",
        "DeepseekV2",
        {
            **{**_MLA, **_V3, **_GROUPS, **_DENSE_FIRST, "q_lora_rank": None},
            **{"topk_method": "group_limited_greedy", "routed_scaling_factor": 2.0},
        },
        folder="deepseek_v2",
        grouped=True,
    ),
    _causal("deepseek_v3", "DeepseekV3", {**_MLA, **_V3_GROUPED, **_DENSE_FIRST}, grouped=True),
    _causal("deepseek_v32", "DeepseekV32", {**_MLA, **_INDEXER, **_V3, **_DENSE_FIRST, "n_group": 1, "topk_group": 1}),
    _causal(
        "deepseek_v4",
        "DeepseekV4",
        {
            **{"num_hidden_layers": 4, "num_key_value_heads": 1, "head_dim": 16, "q_lora_rank": 16, **_WINDOW},
            **{"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "hc_mult": 2},
            "mlp_layer_types": ["hash_moe", "moe", "moe", "moe"],
            **{"layer_types": ["sliding_attention"] * 4, "partial_rotary_factor": 0.5, "o_groups": 2, "o_lora_rank": 8},
            **{"index_n_heads": 2, "index_head_dim": 8},
        },
    ),
    TinyFamily(
        "diffusion_gemma",
        "DiffusionGemmaEncoderTextModel",
        "DiffusionGemmaTextConfig",
        {
            **_WINDOW,
            "num_experts": 8,
            "top_k_experts": 2,
            "moe_intermediate_size": 16,
            "intermediate_size": 32,
            "head_dim": 16,
        },
        generates=False,
    ),
    _causal("dots1", "Dots1", {**_V3, **_HEAD, **_DENSE_FIRST, "norm_topk_prob": True}),
    _causal(
        "dots3_note",
        "Dots3Note",
        {
            **{**_MLA, **_INDEXER, **_V3, **_SHARED_LAST, "shared_experts_intermediate_size": 16},
            **{"layer_types": ["indexed_attention"] * 3, "head_dim": 16},
        },
        config="TextConfig",
    ),
    _causal(
        "ernie4_5_moe",
        "Ernie4_5_Moe",
        {
            **{"moe_num_experts": 8, "moe_k": 2, "moe_intermediate_size": 16, "intermediate_size": 32},
            **{"moe_num_shared_experts": 1, "moe_layer_start_index": 1, "moe_layer_end_index": 2},
        },
    ),
    _multimodal(
        "ernie4_5_vl_moe",
        "Ernie4_5_VLMoe",
        {
            **{"moe_num_experts": 8, "moe_k": 2, "moe_intermediate_size": [16, 8], "intermediate_size": 32},
            **{"moe_num_shared_experts": 1, "rope_parameters": {**_PARTIAL_ROPE, "mrope_section": [1, 1, 2]}},
        },
        {"vision_config": {"depth": 1, "hidden_size": 16, "num_heads": 2, "patch_size": 2, "intermediate_size": 16}},
    ),
    _causal("exaone_moe", "ExaoneMoe", {**_MOE, **_HEAD, **_WINDOW, **_DENSE_FIRST, "num_shared_experts": 1}),
    _causal("flex_olmo", "FlexOlmo", {**_MOE, "intermediate_size": 24}),
    _causal("flint", "Flint", {**_MOE, **_HEAD, "shared_expert_intermediate_size": 16, "mlp_only_layers": [0]}),
    TinyFamily(
        "gemma4",
        "Gemma4ForCausalLM",
        "Gemma4TextConfig",
        {
            **{"num_experts": 8, "top_k_experts": 2, "enable_moe_block": True, "moe_intermediate_size": 16, **_WINDOW},
            **{"intermediate_size": 32, "head_dim": 16, "global_head_dim": 16, "hidden_size_per_layer_input": 0},
            "num_kv_shared_layers": 0,
        },
    ),
    _causal("glm4_moe", "Glm4Moe", {**_V3, **_HEAD, **_DENSE_FIRST}),
    _causal("glm4_moe_lite", "Glm4MoeLite", {**_MLA, **_V3}),
    _multimodal(
        "glm4v_moe",
        "Glm4vMoe",
        {**_V3, **_HEAD, **_DENSE_FIRST, "rope_parameters": {**_PARTIAL_ROPE, "mrope_section": [2, 1, 1]}},
        {"vision_config": {**_EYE, "image_size": 8}},
    ),
    _multimodal(
        "glm5_next",
        "Glm5Next",
        {
            **{**_MLA, **_INDEXER, **_V3, "qk_rope_head_dim": 0, "head_dim": 0, "num_hidden_layers": 4},
            **{"linear_head_dim": 8, "linear_num_heads": 4, "hc_mult": 2, "index_kpool": 4},
            "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
        },
        {"vision_config": {**_EYE, "projection_intermediate_size": 16, "image_size": 8}},
    ),
    _causal("glm_moe_dsa", "GlmMoeDsa", {**_MLA, **_INDEXER, **_V3, **_DENSE_FIRST}),
    _causal("gpt_oss", "GptOss", {**_LOCAL, **_HEAD, **_WINDOW}),
    _causal("granitemoe", "GraniteMoe", _LOCAL),
    _causal("granitemoe_swa", "GraniteMoeSWA", {**_LOCAL, **_WINDOW}),
    _causal(
        "granitemoehybrid",
        "GraniteMoeHybrid",
        {
            **{**_LOCAL, "shared_intermediate_size": 24, "layer_types": ["mamba", "attention", "mamba"]},
            **{"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_expand": 2, "mamba_d_state": 8},
        },
    ),
    _causal("granitemoeshared", "GraniteMoeShared", {**_LOCAL, "shared_intermediate_size": 24}),
    _causal("hunyuan_v1_moe", "HunYuanMoEV1", {**_HEAD, "num_experts": 8, "moe_topk": 2, "intermediate_size": 24}),
    _causal("hy_v3", "HYV3", {**_MOE, **_HEAD}),
    _causal("hy_v4", "HYV4", {**_MLA, **_INDEXER, **_V3, "hc_mult": 2}),
    TinyFamily(
        "inkling",
        "InklingForCausalLM",
        "InklingTextConfig",
        {
            **{**_V3, **_HEAD, "n_shared_experts": 2, "swa_num_attention_heads": 4, "swa_num_key_value_heads": 2},
            **{"swa_head_dim": 8, "sliding_window_size": 64, "d_rel": 4, "rel_extent": 64},
        },
    ),
    TinyFamily(
        "inkling2",
        "Inkling2ForCausalLM",
        "Inkling2TextConfig",
        {
            **{"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16, **_HEAD},
            **{
                "swa_num_attention_heads": 4,
                "swa_num_key_value_heads": 2,
                "swa_head_dim": 8,
                "sliding_window_size": 64,
            },
            **{"d_rel": 4, "rel_extent": 64, "unpadded_vocab_size": VOCABULARY, "n_layers_per_attn_res_block": 2},
        },
    ),
    _causal(
        "jamba",
        "Jamba",
        {
            **{"num_hidden_layers": 4, "num_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 24},
            **{"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
            **{"mamba_d_state": 8, "mamba_dt_rank": 4},
        },
    ),
    _causal("jetmoe", "JetMoe", {**_LOCAL, "kv_channels": 8}, tapped=False),
    _causal(
        "kimi_linear",
        "KimiLinear",
        {
            **{**_MLA, **_LOCAL, "num_hidden_layers": 4, "moe_intermediate_size": 16, "intermediate_size": 32},
            **{"linear_head_dim": 8, "linear_num_heads": 4},
            "layer_types": ["linear_attention", "full_attention"] * 2,
        },
    ),
    _causal(
        "kolibri1",
        "Kolibri1",
        {
            **_LOCAL,
            **_HEAD,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
            "intermediate_size": 32,
        },
    ),
    _causal("laguna", "Laguna", {**_MOE, **_HEAD, "shared_expert_intermediate_size": 16}),
    _causal(
        "lfm2_moe",
        "Lfm2Moe",
        {**_MOE, "num_dense_layers": 1, "layer_types": ["full_attention", "conv", "full_attention"]},
    ),
    TinyFamily(
        "llama4",
        "Llama4ForCausalLM",
        "Llama4TextConfig",
        {
            **{**_LOCAL, **_HEAD, "intermediate_size_mlp": 32, "interleave_moe_layer_step": 1},
            "attn_temperature_tuning": False,
        },
        tapped=False,
        recorded=False,
    ),
    _causal(
        "longcat_flash",
        "LongcatFlash",
        {
            **{**_MLA, **_HEAD, "n_routed_experts": 8, "zero_expert_num": 4, "moe_topk": 2, "num_hidden_layers": 4},
            **{"ffn_hidden_size": 32, "expert_ffn_hidden_size": 16},
        },
    ),
    _causal("mellum", "Mellum", {**_LOCAL, **_HEAD, "moe_intermediate_size": 16, "intermediate_size": 32}),
    _causal("mimo_v2_flash", "MiMoV2Flash", {**_V3, **_HEAD, "v_head_dim": 8}),
    _causal("minimax", "MiniMax", {**_LOCAL, **_HEAD, "block_size": 16}),
    _causal("minimax_m2", "MiniMaxM2", {**_LOCAL, **_HEAD}),
    _causal(
        "minimax_m3_vl",
        "MiniMaxM3VL",
        {
            **{**_LOCAL, **_HEAD, **_SHARED_LAST, "intermediate_size": 16, "dense_intermediate_size": 32},
            **{"shared_intermediate_size": 16, "rotary_dim": 4, "index_n_heads": 2, "index_head_dim": 8},
        },
        config="TextConfig",
    ),
    _causal("mistral4", "Mistral4", {**_MLA, **_V3, **_GROUPS}, grouped=True),
    _multimodal(
        "mistral_large4",
        "MistralLarge4",
        {**_MLA, **_INDEXER, **_V3, **_DENSE_FIRST},
        {
            "vision_config": {
                **_SMALL_EYE,
                **{"model_type": "pixtral", "image_size": 8, "patch_size": 2, "head_dim": 8},
            }
        },
    ),
    _causal("mixtral", "Mixtral", _LOCAL),
    _multimodal(
        "muse_spark",
        "MuseSpark",
        {**_LOCAL, **_HEAD, **_WINDOW, "moe_intermediate_size": 16, "moe_hidden_size": 16, "intermediate_size": 32},
        {
            "vision_config": {**_SMALL_EYE, "pos_emb_height": 4, "pos_emb_width": 4, "patch_size": 2},
            "audio_config": {
                **{"patch_sizes": [2, 2], "hidden_sizes": [8, 8], "depths": [1, 1], "num_hidden_layers": 2},
                **{"mlp_ratio": 1.0, "out_hidden_size": 32},
            },
            **{"out_hidden_size": 16, "projector_hidden_size": 16},
        },
    ),
    _causal(
        "nemotron_h",
        "NemotronH",
        {
            **{**_V3, **_HEAD, "moe_shared_expert_intermediate_size": 16, "mamba_num_heads": 4, "mamba_head_dim": 8},
            **{"ssm_state_size": 8, "n_groups": 2},
        },
    ),
    _causal("olmoe", "Olmoe", {**_MOE, "intermediate_size": 24, "norm_topk_prob": False}),
    TinyFamily(
        "openai_privacy_filter",
        "OpenAIPrivacyFilterForTokenClassification",
        "OpenAIPrivacyFilterConfig",
        {**_LOCAL, **_HEAD, **_WINDOW, "num_labels": 5},
        generates=False,
    ),
    _causal("phimoe", "Phimoe", _LOCAL),
    _causal("qwen2_moe", "Qwen2Moe", {**_MOE, "shared_expert_intermediate_size": 24, "norm_topk_prob": False}),
    _causal(
        "qwen3_5_moe",
        "Qwen3_5Moe",
        {**_MOE, **_HEAD, **_LINEAR, "shared_expert_intermediate_size": 16},
        config="TextConfig",
    ),
    _causal("qwen3_moe", "Qwen3Moe", {**_MOE, **_HEAD, "norm_topk_prob": True}),
    _causal("qwen3_next", "Qwen3Next", {**_MOE, **_HEAD, **_LINEAR, "shared_expert_intermediate_size": 16}),
    _multimodal(
        "qwen3_omni_moe",
        "Qwen3OmniMoeThinker",
        {**_MOE, **_HEAD},
        {"vision_config": _QWEN_EYE, "audio_config": _EAR, "vision_start_token_id": 90},
        text_config="Qwen3OmniMoeTextConfig",
    ),
    TinyFamily(
        "qwen3_omni_moe_talker",
        "Qwen3OmniMoeTalkerModel",
        "Qwen3OmniMoeTalkerTextConfig",
        {**_MOE, **_HEAD, "shared_expert_intermediate_size": 16},
        folder="qwen3_omni_moe",
        generates=False,
        embedding="codec_embedding",
    ),
    _multimodal("qwen3_vl_moe", "Qwen3VLMoe", {**_MOE, **_HEAD}, {"vision_config": _QWEN_EYE}),
    _causal(
        "qwen4_exp",
        "Qwen4Exp",
        {
            **{**_MOE, **_HEAD, **_LINEAR, "shared_expert_intermediate_size": 16, "hc_count": 2, "hc_lowrank": 8},
            **{"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 64},
            "indexer_compress_ratio": 4,
        },
        config="TextConfig",
    ),
    _causal("solar_open", "SolarOpen", {**_V3, **_HEAD}),
    _multimodal(
        "step3p7",
        "Step3p7",
        {**_V3, **_HEAD, **_SHARED_LAST, **_WINDOW, "num_local_experts": 8, "share_expert_dim": 16},
        {"vision_config": {**_SMALL_EYE, "image_size": 8, "patch_size": 2, "mlp_ratio": 1.0}},
    ),
    _multimodal("unlimited_ocr", "UnlimitedOcr", {**_V3, **_SHARED_LAST, **_WINDOW}, {"vision_config": _OCR_EYE}),
    TinyFamily(
        "zaya",
        "ZayaForCausalLM",
        "ZayaConfig",
        {
            **{"num_experts": 8, "num_experts_per_tok": 1, "head_dim": 8, "moe_intermediate_size": 16},
            "router_hidden_size": 24,
        },
    ),
)

BY_NAME: Mapping[str, TinyFamily] = {one.name: one for one in FAMILIES}


def build(name: str, seed: int = 0, **changes: Any) -> Any:
    """A tiny model of the family called so."""
    return BY_NAME[name].build(seed, **changes)
