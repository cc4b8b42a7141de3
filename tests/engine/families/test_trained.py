"""Models as the convention's own training writes them: configurations and checkpoints."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from server.config import Config
from server.engine.library import catalog
from server.engine.loading import load_members
from server.engine.models import Separator
from tests.engine.conftest import CPU, tiny
from tests.engine.families.test_families import DEMUCS, drums

HTDEMUCS = """
audio: {chunk_size: 44100, min_mean_abs: 0.001, hop_length: 1024}
training:
  {batch_size: 8, segment: 1, shift: 1, samplerate: 44100, channels: 2, normalize: true,
   instruments: [kick, snare], target_instrument: null, lr: 9.0e-05, q: 0.95, use_amp: true}
inference: {num_overlap: 4}
model: htdemucs
htdemucs:
  channels: 8
  channels_time:
  growth: 2
  num_subbands: 1
  nfft: 4096
  wiener_iters: 0
  end_iters: 0
  wiener_residual: false
  cac: true
  depth: 4
  rewrite: true
  multi_freqs: []
  multi_freqs_depth: 3
  freq_emb: 0.2
  emb_scale: 10
  emb_smooth: true
  kernel_size: 8
  stride: 4
  time_stride: 2
  context: 1
  context_enc: 0
  norm_starts: 4
  norm_groups: 4
  dconv_mode: 3
  dconv_depth: 2
  dconv_comp: 2
  dconv_init: 1e-3
  bottom_channels: 32
  t_layers: 1
  t_hidden_scale: 4.0
  t_heads: 2
  t_dropout: 0.0
  t_layer_scale: True
  t_gelu: True
  t_emb: sin
  t_max_positions: 10000 # for the scaled embedding
  t_max_period: 10000.0
  t_weight_pos_embed: 1.0
  t_cape_mean_normalize: True
  t_cape_augment: True
  t_cape_glob_loc_scale: [5000.0, 1.0, 1.4]
  t_sin_random_shift: 0
  t_norm_in: True
  t_norm_in_group: False
  t_group_norm: False
  t_norm_first: True
  t_norm_out: True
  t_weight_decay: 0.0
  t_lr:
  t_sparse_self_attn: False
  t_sparse_cross_attn: False
  t_mask_type: diag
  t_mask_random_seed: 42
  t_sparse_attn_window: 400
  t_global_window: 100
  t_sparsity: 0.95
  t_auto_sparsity: False
  t_cross_first: False
  rescale: 0.1
"""


def test_demucs_as_its_training_writes_it(config: Config) -> None:
    """With every argument that the convention's own configurations name, spelt as there."""
    made = tiny(7, sources=["kick", "snare"], bottom_channels=32, dconv_mode=3)
    folder = config.data_dir / "models" / "drumsep"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(HTDEMUCS)
    torch.save(made.state_dict(), folder / "model.ckpt")
    model = Separator(catalog.find("drumsep", config), CPU)
    assert (model.sources, model.segment) == (("kick", "snare"), 44100)


def as_trained(state: dict[str, torch.Tensor], path: Path) -> None:
    """As the convention's own training saves it: with numpy's numbers beside the weights."""
    loss = np.array([0.5, 0.25], np.float32)
    torch.save({
        "epoch": 3, "optimizer_name": "Adam", "optimizer_state_dict": {"state": {}, "lr": 1e-4},
        "scheduler_state_dict": {"best": np.float64(9.1), "patience": np.int64(2)},
        "best_metric": loss.mean(), "all_metrics": [{"sdr": {"kick": [np.float64(9.1)]}}],
        "all_losses": loss, "ended": np.bool_(False), "model_state_dict": state,
    }, path)  # fmt: skip


def as_trained_with_older_numpy(state: dict[str, torch.Tensor], path: Path) -> None:
    """Protocol 2 names modules in lines of their own, so that names may be of any length."""
    as_trained(state, path)
    files = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            files[entry.filename] = archive.read(entry).replace(b"numpy._core.", b"numpy.core.")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def on_many_cards(state: dict[str, torch.Tensor], path: Path) -> None:
    as_trained({f"module._orig_mod.{name}": value for name, value in state.items()}, path)


def compiled_for_many_cards(state: dict[str, torch.Tensor], path: Path) -> None:
    as_trained({f"_orig_mod.module.{name}": value for name, value in state.items()}, path)


@pytest.mark.parametrize("save", [
    as_trained, as_trained_with_older_numpy, on_many_cards, compiled_for_many_cards,
])  # fmt: skip
def test_a_checkpoint_of_a_training(save: Callable, install: Callable) -> None:
    made = drums()
    (network,) = load_members(install("drumsep", DEMUCS, made, save)).networks
    for name, value in made.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value)
