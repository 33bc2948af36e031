#!/usr/bin/env python3
"""Writes text/template_unicode_data.c: the character classes and case mappings that str methods of templates need.

    python3 scripts/make_unicode_tables.py > text/template_unicode_data.c
"""
import sys
import unicodedata

CHARS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(test):
    out = []
    for c in CHARS:
        if test(c):
            o = ord(c)
            if out and out[-1][1] == o - 1:
                out[-1][1] = o
            else:
                out.append([o, o])
    return out


def print_ranges(name, test):
    rs = ranges(test)
    print(f"const struct cv_uni_range cv_uni_{name}[] = {{")
    line = "   "
    for a, b in rs:
        item = f" {{{a:#x}, {b:#x}}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line)
    print(f"}};\nconst size_t cv_uni_n_{name} = CV_COUNT(cv_uni_{name});\n")


def print_mapping(name, convert):
    """Runs of characters whose mapping is one character at a constant distance, one by one or every second one."""
    runs = []
    for c in CHARS:
        m = convert(c)
        if m == c or len(m) != 1:
            continue
        o, d = ord(c), ord(m) - ord(c)
        if runs:
            r = runs[-1]
            step = o - r[1]
            if r[2] == d and step in (1, 2) and (r[3] in (0, step)):
                r[1], r[3] = o, step
                continue
        runs.append([o, o, d, 0])
    print(f"const struct cv_uni_case cv_uni_{name}[] = {{")
    line = "   "
    for a, b, d, s in runs:
        item = f" {{{a:#x}, {b:#x}, {d}, {s or 1}}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line)
    print(f"}};\nconst size_t cv_uni_n_{name} = CV_COUNT(cv_uni_{name});\n")


def print_long(name, convert):
    print(f"const struct cv_uni_long cv_uni_{name}[] = {{")
    line = "   "
    for c in CHARS:
        m = convert(c)
        if len(m) <= 1:
            continue
        cps = ", ".join(f"{ord(x):#x}" for x in m)
        item = f" {{{ord(c):#x}, {{{cps}}}}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line)
    print(f"}};\nconst size_t cv_uni_n_{name} = CV_COUNT(cv_uni_{name});\n")


print(f"/* template_unicode_data.c - made by scripts/make_unicode_tables.py from Unicode {unicodedata.unidata_version}; "
      "do not edit. */")
print('#include "text/template_unicode.h"\n\n#include "base/compiler.h"\n')
print_ranges("alpha", str.isalpha)
print_ranges("decimal", str.isdecimal)
print_ranges("digit", str.isdigit)
print_ranges("numeric", str.isnumeric)
print_ranges("upper", str.isupper)
print_ranges("lower", str.islower)
print_ranges("hidden", lambda c: not c.isprintable())
print_mapping("to_upper", str.upper)
print_mapping("to_lower", str.lower)
print_mapping("to_title", lambda c: c.title() if c.title() != c.upper() else c)
print_long("long_upper", str.upper)
print_long("long_lower", str.lower)
print_long("long_title", str.title)
sys.stdout.flush()
