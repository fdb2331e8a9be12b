"""LoRA and its variants: PEFT's ``LoraConfig``, every field of it that a recipe can use.

Names and defaults are PEFT's. An option left out, or None, means PEFT's default. The signature
is the option schema and is read before PEFT is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from adapter_hub.errors import OptionError
from adapter_hub.methods.lora_start import DOUBLED, mark
from adapter_hub.options import check_options, options_of

if TYPE_CHECKING:
    from peft import LoraConfig

INTERNAL: Mapping[str, str] = {
    "arrow_config": "routes between adapters that are trained already; nothing of it is trained",
    "auto_mapping": "PEFT fills it in for models without a task type",
    "base_model_name_or_path": "the recipe's base",
    "corda_config": "init_lora_weights = 'corda' takes none of it here",
    "eva_config": "init_lora_weights = 'eva' takes PEFT's defaults",
    "inference_mode": "training and loading set it",
    "loftq_config": "init_lora_weights = 'loftq' quantises the base before training",
    "lora_ga_config": "init_lora_weights = 'lora_ga' takes PEFT's defaults",
    "megatron_config": "for models built by Megatron, which cannot be a base here",
    "megatron_core": "for models built by Megatron, which cannot be a base here",
    "peft_type": "the method",
    "peft_version": "PEFT fills it in",
    "revision": "the recipe's base is pinned already",
    "runtime_config": "offloading while a model is spread over devices; PEFT never saves it",
    "task_type": "always CAUSAL_LM",
}
"""The fields of ``LoraConfig`` that are no options, and why."""

TABLES: Mapping[str, str] = {
    "kasa_config": "KasaConfig",
    "monteclora_config": "MontecloraConfig",
    "use_bdlora": "BdLoraConfig",
    "velora_config": "VeloraConfig",
}
"""The options that are tables, and the class in ``peft`` that lists the keys of each."""


def lora(
    *,
    r: Annotated[int, "rank of the update: 1 or more, usually 4 to 64"] = 8,
    lora_alpha: Annotated[
        int, "strength of the update, which is scaled by lora_alpha / r; usually r to 2 r"
    ] = 8,
    lora_dropout: Annotated[
        float, "share of a layer's inputs dropped on the way into the update: 0 to below 1"
    ] = 0.0,
    target_modules: Annotated[
        list[str] | str | None,
        "layers to adapt: ends of their names, one regular expression for the whole name, or "
        '"all-linear". Left out: what PEFT lists for this kind of model, often only two of the '
        "attention layers.",
    ] = None,
    exclude_modules: Annotated[
        list[str] | str | None,
        "layers to leave alone: ends of their names, or one regular expression",
    ] = None,
    target_parameters: Annotated[
        list[str] | None,
        "bare parameters to adapt, by the end of their names; for mixture-of-experts weights that "
        "are in no linear layer. target_modules = [] adapts these alone.",
    ] = None,
    layers_to_transform: Annotated[
        list[int] | int | None,
        "adapt only the blocks of these numbers, counted from 0; target_modules must not be a "
        "regular expression then",
    ] = None,
    layers_pattern: Annotated[
        list[str] | str | None,
        'name of the list of blocks that layers_to_transform counts in, such as "layers" or "h"; '
        "needed only where PEFT does not find it",
    ] = None,
    rank_pattern: Annotated[
        dict[str, int] | None,
        "other ranks than r for some layers: name or regular expression = rank",
    ] = None,
    alpha_pattern: Annotated[
        dict[str, int] | None,
        "other strengths than lora_alpha for some layers: name or regular expression = alpha",
    ] = None,
    use_rslora: Annotated[
        bool, "scale the update by lora_alpha / sqrt(r), which keeps high ranks effective"
    ] = False,
    use_dora: Annotated[
        bool,
        "train the length of each weight vector apart from its direction (DoRA): often better at "
        "low ranks, slower",
    ] = False,
    init_lora_weights: Annotated[
        bool
        | Literal[
            "gaussian",
            "orthogonal",
            "mica",
            "pissa",
            "pissa_niter_4",
            "pissa_niter_16",
            "olora",
            "corda",
            "lora_ga",
            "eva",
        ],
        "start of the update. true: no change at first; false: random, for tests; gaussian: no "
        "change, other scale; orthogonal: no change, r must be even; mica: no change, trains one "
        "half in the directions that the base uses least. pissa: the main part of each weight "
        "(pissa_niter_4 and _16: found faster, roughly); olora: an orthogonal part of it; eva: the "
        "main directions of the inputs, over some of the rows; corda: the main part of the weights on "
        "those; lora_ga: the directions in which the weights would be trained. Of pissa, olora, corda "
        "and lora_ga the file has twice the rank: what they started from, taken out again, so that it fits "
        "the base as it is. Not offered: loftq, which quantises the base before training.",
    ] = True,
    bias: Annotated[
        Literal["none", "all", "lora_only"],
        "train the base's own biases too: in no layer, in all, or in the adapted ones",
    ] = "none",
    lora_bias: Annotated[
        bool, "give the update a bias of its own; only for layers that have one can it be merged"
    ] = False,
    modules_to_save: Annotated[
        list[str] | None,
        'layers to train and store whole, such as "lm_head"; the files grow by their size',
    ] = None,
    trainable_token_indices: Annotated[
        list[int] | dict[str, list[int]] | None,
        "token ids whose embeddings are trained, or embedding layer = token ids",
    ] = None,
    ensure_weight_tying: Annotated[
        bool, "keep layers tied that share weights in the base, such as embeddings and output head"
    ] = False,
    fan_in_fan_out: Annotated[
        bool, "weights are stored input first, as in GPT-2; PEFT sets it where needed"
    ] = False,
    layer_replication: Annotated[
        list[tuple[int, int]] | None,
        "build a deeper model from ranges of the base's blocks, as in [[0, 4], [2, 5]], the end "
        "not included. Repeated blocks share their weights, so the result must not be merged.",
    ] = None,
    alora_invocation_tokens: Annotated[
        list[int] | None,
        "activated LoRA: the token ids that switch the adapter on; every row must contain them. "
        "Cannot be merged.",
    ] = None,
    use_qalora: Annotated[
        bool, "QA-LoRA, for a base quantised with GPTQ; PEFT ignores it on any other"
    ] = False,
    qalora_group_size: Annotated[
        int, "inputs averaged into one for use_qalora; must divide the width of each layer"
    ] = 16,
    use_bdlora: Annotated[
        dict[str, Any] | None,
        "block-diagonal LoRA, for serving on several devices. Keys: target_modules_bd_a, "
        "target_modules_bd_b, nblocks, match_strict.",
    ] = None,
    velora_config: Annotated[
        dict[str, Any] | None,
        "VeLoRA, which keeps compressed activations for the backward pass. Keys: num_groups "
        "(more is more exact and takes more memory), scale, init_type.",
    ] = None,
    monteclora_config: Annotated[
        dict[str, Any] | None,
        "MonteCLoRA, random variations of the update while it trains. Keys: num_samples, "
        "sample_scaler, buffer_size (samples kept in memory for each layer: the default fills "
        "gigabytes), dirichlet_prior; use_entropy and kl_loss_weight belong to an extra loss that "
        "is not added in training.",
    ] = None,
    kasa_config: Annotated[
        dict[str, Any] | None,
        "KaSA: drops the r weakest directions of each adapted weight in memory, again at every "
        "load, so such a base can carry no other kind of adapter. Keys: beta and gamma, of an "
        "extra loss that is not added in training.",
    ] = None,
) -> LoraConfig:
    """A ``peft.LoraConfig`` for a causal language model. Raises OptionError for a table's key.

    PEFT itself checks the values when it makes the layers, but a negative dropout, which it takes
    for none.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    if not 0 <= lora_dropout < 1:
        raise OptionError(f"option 'lora_dropout' must be from 0 to below 1, not {lora_dropout}.")
    import peft

    for name in TABLES.keys() & given.keys():
        given[name] = _checked_table(name, given[name], getattr(peft, TABLES[name]))
    if init_lora_weights in (*DOUBLED, "eva"):
        config = peft.LoraConfig(task_type="CAUSAL_LM", **{**given, "init_lora_weights": True})
        mark(config, str(init_lora_weights))
        return config
    return peft.LoraConfig(task_type="CAUSAL_LM", **given)


def _checked_table(name: str, table: Mapping[str, Any], kind: type) -> Any:
    """``table`` as PEFT's own class; from a plain table PEFT drops keys it does not know."""
    owner, see = f"method 'lora', table {name!r}", "adapter-hub methods lora"
    return kind(**check_options(options_of(kind), table, owner=owner, see=see))
