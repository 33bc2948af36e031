"""The corpus: conversations that this program makes up, one skill at a time, from a seed.

    python corpus.py --seed 1 --count 5 [--skill story] [--split heldout]

A conversation is {skill, messages, tools, check}. What is asked in it has a key (the sum, the list, the facts of the
story ...); a key whose hash falls on HELD_OUT belongs to the held-out split and is never trained on.
"""
import argparse
import hashlib
import json
import random

import smalltalk
import stories
import tools as tool_world
import words as w

HELD_OUT = 40  # one key in so many

SYSTEM = ["You are a helpful assistant.", "You are House, a small model.", "Answer briefly.", "You are a friendly assistant.",
          "You are House, a helpful assistant."]


def is_held_out(key):
    """A key of None is common knowledge ("Who are you?"): always trained on."""
    if key is None:
        return False
    return int.from_bytes(hashlib.sha1(key.encode()).digest()[:4], "big") % HELD_OUT == 0


# --- sums: the answer shows the working digit by digit, as one learns it at school, and then the result

def _digits(n):
    return [int(d) for d in reversed(str(n))]


COLUMNS = ["Ones", "Tens", "Hundreds", "Thousands"]


def work_sum(x, y):
    a, b, steps, carry = _digits(x), _digits(y), [], 0
    for i in range(max(len(a), len(b))):
        terms = [d[i] for d in (a, b) if i < len(d)] + [1] * carry
        total = sum(terms)
        steps.append("{}: {}={}".format(COLUMNS[i], "+".join(map(str, terms)), total))
        carry = total // 10
    return "{}. So {} + {} = {}.".format(". ".join(steps), x, y, x + y)


def work_difference(x, y):
    if x < y:
        return "{} is less than {}, so the result is below zero. ".format(x, y) + work_difference(y, x).split(" So ")[0] \
            + " So {} - {} = {}.".format(x, y, x - y)
    a, b, steps, borrow = _digits(x), _digits(y), [], 0
    for i, d in enumerate(a):
        take = ([b[i]] if i < len(b) else []) + [1] * borrow
        borrow = 1 if d < sum(take) else 0
        left = "".join("-{}".format(t) for t in take)
        steps.append("{}: {}{}={}".format(COLUMNS[i], d + 10 * borrow, left, d + 10 * borrow - sum(take)))
    return "{}. So {} - {} = {}.".format(". ".join(steps), x, y, x - y)


def _operand(rng):
    return rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 3, 3)))


ADD = ["What is {a} + {b}?", "{a} + {b}", "{a} + {b} = ?", "{a}+{b}", "Add {a} and {b}.", "What is {a} plus {b}?", "How much is {a} + {b}?",
       "Calculate {a} + {b}.", "What is the sum of {a} and {b}?", "Please add {a} and {b}.", "{a} plus {b}",
       "I have {a} nuts and get {b} more. How many do I have?"]
SUB = ["What is {a} - {b}?", "{a} - {b}", "{a} - {b} = ?", "{a}-{b}", "Subtract {b} from {a}.", "What is {a} minus {b}?",
       "How much is {a} - {b}?", "Calculate {a} - {b}.", "Take {b} away from {a}.", "What is the difference of {a} and {b}?",
       "{a} minus {b}"]


def add(rng):
    a, b = _operand(rng), _operand(rng)
    return "add {} {}".format(a, b), rng.choice(ADD).format(a=a, b=b), work_sum(a, b), {"kind": "last_number", "value": str(a + b)}


def subtract(rng):
    a, b = _operand(rng), _operand(rng)
    if a < b and rng.random() < 0.75:
        a, b = b, a
    ask = rng.choice(SUB).format(a=a, b=b)
    return "sub {} {}".format(a, b), ask, work_difference(a, b), {"kind": "last_number", "value": str(a - b)}


# --- lists

def _list_items(rng):
    n = rng.randrange(3, 7)
    if rng.random() < 0.5:
        return [str(x) for x in rng.sample(range(1, 100), n)]
    return rng.sample(w.SORT_WORDS, n)


SORT = ["Sort this list: {}", "Sort {}", "Put these in order: {}", "Sort: {}", "Please sort {}", "Sort these {kind}: {}",
        "Put these {kind} in order: {}", "Can you sort this list? {}"]
REVERSE = ["Reverse this list: {}", "Reverse {}", "Write this list backwards: {}", "Reverse: {}", "Please reverse {}",
           "Reverse the order of these {kind}: {}", "Say this list in reverse order: {}"]


def sort(rng):
    items = _list_items(rng)
    number = items[0].isdigit()
    out = ", ".join(sorted(items, key=int if number else None))
    ask = rng.choice(SORT).format(", ".join(items), kind="numbers" if number else "words")
    return "sort " + ",".join(items), ask, out, {"kind": "contains", "any": [out]}


def reverse(rng):
    items = _list_items(rng)
    out = ", ".join(reversed(items))
    ask = rng.choice(REVERSE).format(", ".join(items), kind="numbers" if items[0].isdigit() else "words")
    return "reverse " + ",".join(items), ask, out, {"kind": "contains", "any": [out]}


# --- a sentence to JSON: a schema draws its values, and says them in one of several sentences

def _person(rng):
    v = dict(name=w.name(rng), age=rng.randrange(5, 100), city=w.city(rng), job=rng.choice(w.JOBS))
    says = ["{name} is {age} years old, lives in {city} and works as {a_job}.", "{name} is {a_job} from {city} and is {age} years old.",
            "In {city} lives {name}, {a_job} of {age} years.", "My name is {name}, I am {age}, I live in {city} and I am {a_job}.",
            "The {job} {name} from {city} is {age}."]
    return v, rng.choice(says).format(a_job=w.a(v["job"]), **v)


def _order(rng):
    v = dict(product=rng.choice(w.PRODUCTS), color=rng.choice(w.COLORS), price=rng.randrange(1, 500), customer=w.name(rng))
    says = ["{customer} bought {a_color} {product} for {price} dollars.", "{customer} paid {price} dollars for {a_color} {product}.",
            "The {color} {product} costs {price} dollars, and {customer} wants it.",
            "For {price} dollars, {customer} ordered {a_color} {product}."]
    return v, rng.choice(says).format(a_color=w.a(v["color"]), **v)


def _event(rng):
    v = dict(event=rng.choice(w.EVENTS), day=rng.choice(w.DAYS), place=rng.choice(w.VENUES), guests=rng.randrange(3, 300))
    says = ["The {event} is on {day} at the {place} with {guests} guests.", "On {day} there is {a_event} at the {place} for {guests} guests.",
            "{guests} guests will come to the {event} at the {place} on {day}.", "We invite {guests} guests to {a_event} at the {place} on {day}."]
    return v, rng.choice(says).format(a_event=w.a(v["event"]), **v)


def _pet(rng):
    v = dict(name=w.name(rng), animal=rng.choice(w.ANIMALS), age=rng.randrange(1, 30), owner=w.name(rng))
    while v["owner"] == v["name"]:
        v["owner"] = w.name(rng)
    says = ["{owner} has {a_animal} named {name} that is {age} years old.", "{name} is {a_animal} of {age} years and belongs to {owner}.",
            "The {animal} of {owner} is called {name} and is {age} years old.", "{name}, {a_animal}, is {age} and lives with {owner}."]
    return v, rng.choice(says).format(a_animal=w.a(v["animal"]), **v)


def _trip(rng):
    v = {"from": w.city(rng), "to": w.city(rng), "day": rng.choice(w.DAYS), "traveler": w.name(rng)}
    while v["to"] == v["from"]:
        v["to"] = w.city(rng)
    says = ["{traveler} travels from {from} to {to} on {day}.", "On {day}, {traveler} goes to {to} from {from}.",
            "{traveler} takes the {day} train from {from} to {to}.", "The trip of {traveler} from {from} to {to} is on {day}."]
    return v, rng.choice(says).format(**v)


ASK_JSON = ["Turn this into JSON with the keys {keys}: {text}", "Write this as JSON with the keys {keys}: {text}",
            "{text} Give me JSON with the keys {keys}.", "Make a JSON object with the keys {keys} from this sentence: {text}",
            "Extract {keys} as JSON: {text}", "Convert to JSON ({keys}): {text}"]


def to_json(rng):
    values, text = rng.choice((_person, _order, _event, _pet, _trip))(rng)
    keys = rng.sample(sorted(values), rng.choice((2, 3, 3, 4, 4)))
    out = {k: values[k] for k in keys}
    said = ", ".join(keys) if rng.random() < 0.5 else ", ".join(keys[:-1]) + " and " + keys[-1]
    return "json " + json.dumps(values), rng.choice(ASK_JSON).format(keys=said, text=text), json.dumps(out), {"kind": "json", "value": out}


# --- conversations

SIMPLE = {"add": add, "subtract": subtract, "sort": sort, "reverse": reverse, "json": to_json}


def _user(text):
    return {"role": "user", "content": text}


def _assistant(text):
    return {"role": "assistant", "content": text}


def _chat(rng):
    ask, answer, words = smalltalk.exchange(rng)
    key = None if smalltalk.is_plain(ask) else "chat " + ask
    return key, ask, answer, {"kind": "contains", "any": words}


def _story(rng):
    facts, request, text = stories.story(rng)
    key = "story {who} {friend} {thing} {place}".format(**facts)
    messages, check = [_user(request), _assistant(text)], None
    for ask, answer, must in stories.questions(rng, facts, text, rng.choice((1, 2, 3, 4))):
        messages += [_user(ask), _assistant(answer)]
        check = {"kind": "contains", "any": [must]}
    return key, messages, None, check


def _tool(rng):
    """A call, the tool's reply, and the answer; sometimes small talk instead, where no tool must be called."""
    tools, families = tool_world.tool_list(rng)
    key, messages = "", []
    if rng.random() < 0.12:
        ask, answer, _ = smalltalk.exchange(rng)
        return "tool " + ask, [_user(ask), _assistant(answer)], tools, None
    for _ in range(rng.choice((1, 1, 1, 2))):
        ask, name, args, reply, answer, must = tool_world.task(rng, tools, families)
        call = {"type": "function", "function": {"name": name, "arguments": args}}
        messages += [_user(ask), {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": reply},
                     _assistant(answer)]
        key += ask
    return key, messages, tools, {"call": {"kind": "tool_call", "name": name, "arguments": args}, "reply": {"kind": "contains", "any": must}}


def _single(rng, skill):
    """Returns (key, messages, tools, check)."""
    if skill == "story":
        return _story(rng)
    if skill == "tool":
        return _tool(rng)
    key, ask, answer, check = _chat(rng) if skill == "chat" else SIMPLE[skill](rng)
    return key, [_user(ask), _assistant(answer)], None, check


SKILLS = ["chat", "story", "add", "subtract", "sort", "reverse", "json", "tool"]


def conversation(rng, skill, held_out=False):
    """One conversation whose last exchange shows the skill and is in the wanted split."""
    while True:
        key, messages, tools, check = _single(rng, skill)
        if is_held_out(key) == held_out:
            break
    if rng.random() < 0.25:
        messages = [{"role": "system", "content": rng.choice(SYSTEM)}] + messages
    return {"skill": skill, "messages": messages, "tools": tools, "check": check}


def long_conversation(rng):
    """Several skills in a row, as a person would talk."""
    messages, tools = [], None
    for i in range(rng.choice((2, 3, 3, 4, 5))):
        c = conversation(rng, rng.choice([s for s in SKILLS if s != "tool" or i == 0]))
        tools = tools or c["tools"]
        messages += [m for m in c["messages"] if m["role"] != "system" or not messages]
    return {"skill": "long", "messages": messages, "tools": tools, "check": None}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=5)
    p.add_argument("--skill", choices=SKILLS + ["long"])
    p.add_argument("--split", choices=["train", "heldout"], default="train")
    args = p.parse_args()
    rng = random.Random(args.seed)
    import chat
    for _ in range(args.count):
        skill = args.skill or rng.choice(SKILLS)
        c = long_conversation(rng) if skill == "long" else conversation(rng, skill, args.split == "heldout")
        print("".join(text for text, _ in chat.render(c["messages"], c["tools"])))


if __name__ == "__main__":
    main()
