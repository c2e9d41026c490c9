"""ELMo the straightforward way, as a baseline: what AllenNLP's modules compute, step by step.

Every token of a padded batch goes through the character CNN, padding included; each direction
and layer steps through the whole batch, input and hidden products made anew at every step;
nothing is packed, shared or cached. It uses the weights of a BiLM.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from spacy_ctxemb.encoders import BiLM
from spacy_ctxemb.encoders.lstm import FORGET_BIAS, LSTM

#: Sentences of a batch, in the order of the text: the default of AllenNLP's ElmoEmbedder.
BATCH_SENTENCES = 64


@torch.inference_mode()
def run_baseline(encoder: BiLM, sentences: Sequence[Tensor]) -> list[Tensor]:
    """All layers, (L, T, D), of each sentence. sentences: (T, C) ids, boundaries included."""
    results: list[Tensor] = []
    for start in range(0, len(sentences), BATCH_SENTENCES):
        batch = sentences[start : start + BATCH_SENTENCES]
        lengths = [len(sentence) for sentence in batch]
        ids = torch.nn.utils.rnn.pad_sequence(list(batch), batch_first=True)
        layers = encode_batch(encoder, ids, lengths)
        results.extend(layers[:, b, :n] for b, n in enumerate(lengths))
    return results


def encode_batch(encoder: BiLM, ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """ids: (B, T, C). Returns (L, B, T, D)."""
    mask = torch.arange(ids.size(1)) < torch.tensor(lengths)[:, None]  # (B, T)
    x = encode_tokens(encoder, ids.flatten(0, 1)).unflatten(0, ids.shape[:2]) * mask[..., None]
    halves = []
    for direction, lstms in enumerate(encoder.directions):
        y = reverse(x, lengths) if direction else x
        outputs = [y]
        for i, lstm in enumerate(lstms):
            h = run_layer(lstm, y, mask)
            y = h + y if i and encoder.skip_connections else h
            outputs.append(y)
        halves.append([reverse(y, lengths) if direction else y for y in outputs])
    return torch.stack([torch.cat(pair, dim=-1) for pair in zip(*halves, strict=True)])


def encode_tokens(encoder: BiLM, ids: Tensor) -> Tensor:
    """(N, C) to (N, D / 2)"""
    cnn = encoder.token_encoder
    x = cnn.embedding(ids).transpose(1, 2)
    h = torch.cat([torch.relu(conv(x).amax(dim=-1)) for conv in cnn.convolutions], dim=-1)
    for highway in cnn.highways:
        gate = torch.sigmoid(highway.gate(h))
        h = gate * torch.relu(highway.transform(h)) + (1 - gate) * h
    return cnn.projection(h)


def run_layer(lstm: LSTM, x: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D / 2) to (B, T, D / 2)"""
    B, T, width = x.shape
    h, c = x.new_zeros(B, width), x.new_zeros(B, lstm.hidden_width)
    outputs = []
    for t in range(T):
        z = F.linear(x[:, t], lstm.weight_input) + F.linear(h, lstm.weight_hidden, lstm.bias)
        i, j, f, o = z.chunk(4, dim=-1)
        new_c = torch.sigmoid(i) * torch.tanh(j) + torch.sigmoid(f + FORGET_BIAS) * c
        new_c = new_c.clamp(-lstm.clips.cell, lstm.clips.cell)
        new_h = F.linear(torch.sigmoid(o) * torch.tanh(new_c), lstm.projection)
        new_h = new_h.clamp(-lstm.clips.projection, lstm.clips.projection)
        real = mask[:, t, None]
        h, c = torch.where(real, new_h, h), torch.where(real, new_c, c)
        outputs.append(torch.where(real, new_h, 0.0))
    return torch.stack(outputs, dim=1)


def reverse(x: Tensor, lengths: Sequence[int]) -> Tensor:
    """The real steps of each sentence in the opposite order. (B, T, width)"""
    out = torch.zeros_like(x)
    for b, n in enumerate(lengths):
        out[b, :n] = x[b, :n].flip(0)
    return out
