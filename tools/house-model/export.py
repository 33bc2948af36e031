"""Writes a checkpoint as a GGUF file (F16 matrices, F32 norms) that Caravan and llama.cpp load as architecture qwen3.

    python export.py house ../../models/house-f16.gguf
"""
import argparse
import pathlib

import gguf
import numpy as np

import chat
import evaluate
import tokenizer as tok

ABOUT = {
    "house": "The house model of Caravan: small talk, short stories, sums, lists, JSON and tool calls in a narrow English.",
    "house-draft": "Drafts for the house model of Caravan; same tokenizer.",
}


def add_metadata(out, name, c):
    out.add_type(gguf.GGUFType.MODEL)
    out.add_name(name)
    out.add_description(ABOUT[name])
    out.add_author("the Caravan project")
    out.add_license("mit")
    out.add_languages(["en"])
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    out.add_context_length(c.n_ctx)
    out.add_embedding_length(c.n_embd)
    out.add_block_count(c.n_layer)
    out.add_feed_forward_length(c.n_ff)
    out.add_head_count(c.n_head)
    out.add_head_count_kv(c.n_head_kv)
    out.add_key_length(c.head_dim)
    out.add_value_length(c.head_dim)
    out.add_layer_norm_rms_eps(c.eps)
    out.add_rope_freq_base(c.rope_base)
    out.add_vocab_size(c.n_vocab)


def add_tokenizer(out, t, template):
    kind = {s: gguf.TokenType.CONTROL for s in chat.CONTROL} | {s: gguf.TokenType.USER_DEFINED for s in chat.MARKERS}
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list(t.tokens)
    out.add_token_types([kind.get(s, gguf.TokenType.NORMAL) for s in t.tokens])
    out.add_token_merges([a + " " + b for a, b in t.merges])
    out.add_bos_token_id(t.id[chat.END_OF_TEXT])
    out.add_eos_token_id(t.id[chat.IM_END])
    out.add_pad_token_id(t.id[chat.END_OF_TEXT])
    out.add_add_bos_token(False)
    out.add_chat_template(template)


def add_tensors(out, model):
    c = model.c

    def add(name, x):
        dtype = np.float32 if x.ndim == 1 else np.float16
        out.add_tensor(name, np.ascontiguousarray(x.detach().numpy().astype(dtype)))

    add("token_embd.weight", model.embd)
    add("output_norm.weight", model.norm)
    add("output.weight", model.head)
    d_q, d_kv = c.n_head * c.head_dim, c.n_head_kv * c.head_dim
    for i, layer in enumerate(model.layers):
        blk = "blk.{}.".format(i)
        q, k, v = layer.wqkv.split((d_q, d_kv, d_kv))
        gate, up = layer.wgu.split((c.n_ff, c.n_ff))
        for name, x in (("attn_norm", layer.attn_norm), ("attn_q", q), ("attn_k", k), ("attn_v", v), ("attn_q_norm", layer.q_norm),
                        ("attn_k_norm", layer.k_norm), ("attn_output", layer.wo), ("ffn_norm", layer.ffn_norm), ("ffn_gate", gate),
                        ("ffn_up", up), ("ffn_down", layer.wdown)):
            add(blk + name + ".weight", x)


def main():
    here = pathlib.Path(__file__).parent
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", choices=sorted(ABOUT))
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--build", type=pathlib.Path, default=here / "build")
    args = p.parse_args()
    model = evaluate.load(args.build, args.model)
    out = gguf.GGUFWriter(args.out, "qwen3")
    add_metadata(out, args.model, model.c)
    add_tokenizer(out, tok.Tokenizer.load(args.build / "tokenizer.json"), (here / "template.jinja").read_text())
    add_tensors(out, model)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    main()
