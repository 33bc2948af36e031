"""Conversations as text: what template.jinja renders, but in pieces, so that the answers can be told from the rest."""
import json

IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TOOL_CALL, TOOL_CALL_END = "<tool_call>", "</tool_call>"
CONTROL = [END_OF_TEXT, IM_START, IM_END]      # never shown to a user
MARKERS = [TOOL_CALL, TOOL_CALL_END]           # one token each, but ordinary text
SPECIAL = CONTROL + MARKERS


def _tools_text(tools):
    out = "Tools:\n"
    for t in tools:
        f = t["function"]
        params = ", ".join("{}: {}".format(k, v["type"]) for k, v in f["parameters"]["properties"].items())
        out += "{}({}) {}\n".format(f["name"], params, f["description"])
    return out + "Call one with <tool_call> and JSON."


def _answer_text(message):
    out = message.get("content") or ""
    for call in message.get("tool_calls") or []:
        args = call["function"]["arguments"]
        args = args if isinstance(args, str) else json.dumps(args)
        out += '<tool_call>\n{{"name": "{}", "arguments": {}}}\n</tool_call>'.format(call["function"]["name"], args)
    return out


def render(messages, tools=None, add_generation_prompt=False):
    """Pieces (text, is an answer) whose texts joined are the rendered prompt."""
    pieces = []
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    if tools:
        head = (system + "\n" if system is not None else "") + _tools_text(tools)
        pieces.append((IM_START + "system\n" + head + IM_END + "\n", False))
    elif system is not None:
        pieces.append((IM_START + "system\n" + system + IM_END + "\n", False))
    for i, m in enumerate(messages):
        if m["role"] == "assistant":
            pieces += [(IM_START + "assistant\n", False), (_answer_text(m) + IM_END, True), ("\n", False)]
        elif m["role"] != "system" or i > 0:
            pieces.append((IM_START + m["role"] + "\n" + m["content"] + IM_END + "\n", False))
    if add_generation_prompt:
        pieces.append((IM_START + "assistant\n", False))
    return pieces
