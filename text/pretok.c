#include "text/pretok.h"

#include <string.h>

#include "base/compiler.h"

/*
 * The patterns are those of the models' own tokenizer.json files. Ranges of other scripts are written as code points. Two
 * spellings differ: contractions list both cases instead of switching to caseless, which would let "s" match U+017F; and
 * "\s+$" gets a lookbehind, which changes no match (the leftmost one begins where the run of spaces does) but spares the
 * search a start at every space of a long run.
 */
#define CONTRACTION "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
#define WORD        "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SYMBOLS     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define SPACES      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER       "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER       "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define NO_LETTER   "[^\\r\\n\\p{L}\\p{N}]?"

#define GPT2     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3   "(?:" CONTRACTION ")|" WORD "|\\p{N}{1,3}|" SYMBOLS "|" SPACES
#define QWEN2    "(?:" CONTRACTION ")|" WORD "|\\p{N}|" SYMBOLS "|" SPACES
#define HAN_KANA "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"

static const struct cv_pretok pretok_default = {
    .pattern = {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}};
static const struct cv_pretok pretok_gpt2 = {.pattern = {GPT2}};
static const struct cv_pretok pretok_gpt2_spaces = {.pattern = {GPT2}, .keep_spaces = true};
static const struct cv_pretok pretok_digits = {.pattern = {"\\p{N}", GPT2}};
static const struct cv_pretok pretok_digits_spaces = {.pattern = {"\\p{N}", GPT2}, .keep_spaces = true};
static const struct cv_pretok pretok_llama3 = {.pattern = {LLAMA3}, .ignore_merges = true, .add_bos = true};
static const struct cv_pretok pretok_dbrx = {.pattern = {LLAMA3}};
static const struct cv_pretok pretok_chatglm4 = {.pattern = {LLAMA3}, .no_bos = true};
static const struct cv_pretok pretok_qwen2 = {.pattern = {QWEN2}, .keep_spaces = true};
static const struct cv_pretok pretok_stablelm2 = {.pattern = {QWEN2}};
static const struct cv_pretok pretok_qwen35 = {.pattern = {"(?:" CONTRACTION
                                                           ")|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
                                                           "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES},
                                               .keep_spaces = true};
static const struct cv_pretok pretok_minicpm5 = {
    .pattern = {"\\p{N}{1,3}", "(?:" CONTRACTION ")|" WORD "|\\p{N}+|" SYMBOLS "|" SPACES}, .ignore_merges = true};
static const struct cv_pretok pretok_laguna = {.pattern = {"[^\\n]+|[\\n]+", QWEN2}, .keep_spaces = true};
static const struct cv_pretok pretok_jais2 = {
    .pattern = {"(?:" CONTRACTION ")|" WORD "|\\p{N}{1,3}|" SYMBOLS "|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)"
                "|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)"
                "|\\s{1,2}(?!\\S)|\\s{1}"}};
static const struct cv_pretok pretok_seed_coder = {
    .pattern = {"(?:" CONTRACTION ")|" WORD "|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES}, .keep_spaces = true};
static const struct cv_pretok pretok_bailing = {
    .pattern = {"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}"
                "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
    .keep_spaces = true};

/* Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee and other letters with case, as DeepSeek lists them. */
#define CASED                                                                                                          \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}"   \
    "\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}"     \
    "\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}"       \
    "\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}"                  \
    "\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}"                  \
    "\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}" \
    "\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}"                  \
    "\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}" \
    "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-\\x{2149}\\x{214E}" \
    "\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}" \
    "\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}"                  \
    "\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}"                \
    "\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"        \
    "\\x{1E900}-\\x{1E943}"
#define EAST_ASIAN "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"

static const struct cv_pretok pretok_deepseek_llm = {
    .pattern = {"[\\r\\n]", "\\s?[" CASED "]+",
                "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+",
                "(?<!\\s)\\s+$", EAST_ASIAN, "\\p{N}+"},
    .keep_spaces = true};
static const struct cv_pretok pretok_deepseek_coder = {
    .pattern = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", EAST_ASIAN, "\\p{N}"}, .keep_spaces = true};
static const struct cv_pretok pretok_deepseek_v3 = {
    .pattern = {"\\p{N}{1,3}", HAN_KANA,
                "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES},
    .keep_spaces = true};
static const struct cv_pretok pretok_youtu = {
    .pattern = {"[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}\\x{2018}\\x{2019}"
                "\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|[\\x{3105}-\\x{312F}]+"
                "|" HAN_KANA,
                NO_LETTER UPPER "*" LOWER "+(?:" CONTRACTION ")?|" NO_LETTER UPPER "+" LOWER "*(?:" CONTRACTION ")?"
                                "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES},
    .ignore_merges = true,
    .keep_spaces = true};
static const struct cv_pretok pretok_falcon = {.pattern = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}};

#define NOT_PUNCTUATION " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
static const struct cv_pretok pretok_bloom = {.pattern = {NOT_PUNCTUATION}};
static const struct cv_pretok pretok_poro = {.pattern = {NOT_PUNCTUATION}, .keep_spaces = true};
static const struct cv_pretok pretok_viking = {.pattern = {NOT_PUNCTUATION, "\\p{N}"}, .keep_spaces = true};

static const struct cv_pretok pretok_tekken = {.pattern = {NO_LETTER UPPER "*" LOWER "+|" NO_LETTER UPPER "+" LOWER
                                                                           "*|\\p{N}"
                                                                           "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES},
                                               .ignore_merges = true,
                                               .add_bos = true,
                                               .keep_spaces = true};
static const struct cv_pretok pretok_gpt4o = {
    .pattern = {NO_LETTER UPPER "*" LOWER "+(?:" CONTRACTION ")?|" NO_LETTER UPPER "+" LOWER "*(?:" CONTRACTION ")?"
                                "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES},
    .keep_spaces = true};
static const struct cv_pretok pretok_exaone_moe = {
    .pattern = {"(?:" CONTRACTION ")|" NO_LETTER "\\p{L}[\\p{L}\\p{M}]*(?: \\p{L}[\\p{L}\\p{M}]*)*|\\p{N}"
                "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}};

#define NOT_HAN "(?!\\p{Han})"
static const struct cv_pretok pretok_kimi_k2 = {
    .pattern = {"\\p{Han}+|" NO_LETTER "(?:" NOT_HAN UPPER ")*(?:" NOT_HAN LOWER ")+(?:" CONTRACTION ")?"
                "|" NO_LETTER "(?:" NOT_HAN UPPER ")+(?:" NOT_HAN LOWER ")*(?:" CONTRACTION ")?"
                "|\\p{N}{1,3}|" SYMBOLS "|" SPACES},
    .keep_spaces = true};

/*
 * Digits in threes from the right. The published lookaheads run to the end of the digits from each of them; here they look
 * no further than 600 digits, so that a megabyte of digits does not take quadratic time.
 */
static const struct cv_pretok pretok_tiny_aya = {.pattern = {"\\d{1,3}(?=(?:\\d{3}){0,200}+\\b)", NO_LETTER UPPER
                                                             "*" LOWER "+(?:" CONTRACTION ")?|" NO_LETTER UPPER
                                                             "+" LOWER "*(?:" CONTRACTION ")?"
                                                             "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES},
                                                 .keep_spaces = true};
static const struct cv_pretok pretok_superbpe = {.pattern = {"\\p{N}+", "(?=(?:\\d{3}){1,200}+(?!\\d))"},
                                                 .keep_spaces = true};
static const struct cv_pretok pretok_chameleon = {
    .pattern = {"<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", "[\\t\\n]|    |  ", "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", GPT2},
    .add_bos = true,
    .keep_spaces = true};
static const struct cv_pretok pretok_spark = {
    .pattern = {"\\p{N}{1,3}", HAN_KANA,
                "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                "| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+",
                "\\p{N}"},
    .keep_spaces = true};
static const struct cv_pretok pretok_ufakzeka = {.pattern = {WORD "|\\p{N}|" SYMBOLS "|" SPACES}, .keep_spaces = true};

static const struct cv_pretok pretok_gemma4 = {.pattern = {"[^\\n]+|[\\n]+"}, .raw_text = true, .add_bos = true};

static const struct {
    const char *name;
    const struct cv_pretok *pretok;
} names[] = {
    {"default", &pretok_default},
    {"llama3", &pretok_llama3},
    {"llama-v3", &pretok_llama3},
    {"llama-bpe", &pretok_llama3},
    {"falcon3", &pretok_llama3},
    {"falcon-h1", &pretok_llama3},
    {"pixtral", &pretok_llama3},
    {"midm-2.0", &pretok_llama3},
    {"lfm2", &pretok_llama3},
    {"jina-v5-nano", &pretok_llama3},
    {"dbrx", &pretok_dbrx},
    {"smaug-bpe", &pretok_dbrx},
    {"glm4", &pretok_chatglm4},
    {"chatglm-bpe", &pretok_chatglm4},
    {"minicpm5", &pretok_minicpm5},
    {"jais-2", &pretok_jais2},
    {"qwen2", &pretok_qwen2},
    {"deepseek-r1-qwen", &pretok_qwen2},
    {"kormo", &pretok_qwen2},
    {"f2llmv2", &pretok_qwen2},
    {"hunyuan", &pretok_qwen2},
    {"solar-open", &pretok_qwen2},
    {"grok-2", &pretok_qwen2},
    {"megrez", &pretok_stablelm2},
    {"stablelm2", &pretok_stablelm2},
    {"qwen35", &pretok_qwen35},
    {"laguna", &pretok_laguna},
    {"seed-coder", &pretok_seed_coder},
    {"bailingmoe", &pretok_bailing},
    {"bailingmoe2", &pretok_bailing},
    {"llada-moe", &pretok_bailing},
    {"gpt-2", &pretok_gpt2},
    {"phi-2", &pretok_gpt2},
    {"jina-es", &pretok_gpt2},
    {"jina-de", &pretok_gpt2},
    {"jina-v2-es", &pretok_gpt2},
    {"jina-v2-de", &pretok_gpt2},
    {"gigachat", &pretok_gpt2},
    {"a.x-4.0", &pretok_gpt2},
    {"mellum", &pretok_gpt2},
    {"modern-bert", &pretok_gpt2},
    {"mpt", &pretok_gpt2},
    {"olmo", &pretok_gpt2},
    {"jais", &pretok_gpt2},
    {"exaone4", &pretok_gpt2},
    {"trillion", &pretok_gpt2_spaces},
    {"granite-docling", &pretok_gpt2_spaces},
    {"starcoder", &pretok_digits},
    {"refact", &pretok_digits},
    {"codeshell", &pretok_digits},
    {"exaone", &pretok_digits},
    {"minerva-7b", &pretok_digits},
    {"mellum2", &pretok_digits},
    {"command-r", &pretok_digits_spaces},
    {"smollm", &pretok_digits_spaces},
    {"deepseek-llm", &pretok_deepseek_llm},
    {"deepseek-coder", &pretok_deepseek_coder},
    {"deepseek-v3", &pretok_deepseek_v3},
    {"hunyuan-dense", &pretok_deepseek_v3},
    {"joyai-llm", &pretok_deepseek_v3},
    {"hy_v4", &pretok_deepseek_v3},
    {"youtu", &pretok_youtu},
    {"falcon", &pretok_falcon},
    {"bloom", &pretok_bloom},
    {"gpt3-finnish", &pretok_bloom},
    {"poro-chat", &pretok_poro},
    {"viking", &pretok_viking},
    {"tekken", &pretok_tekken},
    {"gpt-4o", &pretok_gpt4o},
    {"llama4", &pretok_gpt4o},
    {"kanana2", &pretok_gpt4o},
    {"talkie", &pretok_gpt4o},
    {"minimax-m2", &pretok_gpt4o},
    {"exaone-moe", &pretok_exaone_moe},
    {"kimi-k2", &pretok_kimi_k2},
    {"tiny_aya", &pretok_tiny_aya},
    {"cohere2moe", &pretok_tiny_aya},
    {"superbpe", &pretok_superbpe},
    {"chameleon", &pretok_chameleon},
    {"spark2_5", &pretok_spark},
    {"ufakzeka", &pretok_ufakzeka},
    {"gemma4", &pretok_gemma4},
};

const struct cv_pretok *cv_pretok_get(const char *name, size_t n)
{
    for (size_t i = 0; i < CV_COUNT(names); i++) {
        if (strlen(names[i].name) == n && memcmp(names[i].name, name, n) == 0)
            return names[i].pretok;
    }
    return NULL;
}
