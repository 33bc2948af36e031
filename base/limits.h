/*
 * limits.h - every maximum that a count from outside is compared with before it is used.
 *
 * One page, so that a person can see at a glance what the system is willing to hold. Raise one here, never around it.
 */
#ifndef CV_BASE_LIMITS_H
#define CV_BASE_LIMITS_H

/* Model files */
#define CV_MAX_GGUF_KV       (1u << 16)         /* metadata pairs */
#define CV_MAX_GGUF_TENSORS  (1u << 17)         /* tensors in all parts */
#define CV_MAX_GGUF_NAME     1024u              /* bytes of a tensor's name or a key */
#define CV_MAX_GGUF_STRING   (1u << 26)         /* bytes of one string value */
#define CV_MAX_GGUF_ARRAY    (1u << 24)         /* elements of one array */
#define CV_MAX_GGUF_DEPTH    2u                 /* arrays of arrays */
#define CV_MAX_GGUF_PARTS    1000u              /* files of a split model */
#define CV_MAX_LAYERS        1024u
#define CV_MAX_VOCAB         (1u << 21)
#define CV_MAX_EMBD          (1u << 17)
#define CV_MAX_HEADS         1024u
#define CV_MAX_CTX           (1u << 24)

/* Batches: what may stand in one message of the data plane */
#define CV_MAX_BATCH_ROWS    8192u
#define CV_MAX_BATCH_CMDS    4096u
#define CV_MAX_BATCH_ASKS    8192u
#define CV_MAX_BATCH_IDS     (1u << 18)         /* token ids named in all asks of one batch */
#define CV_MAX_SLOTS         1024u
#define CV_MAX_MESSAGE_BYTES (1u << 30)         /* upper bound of any bound */

/* The cluster */
#define CV_MAX_NODES         1024u
#define CV_MAX_DEVICES       64u                /* of one node */
#define CV_MAX_CALL_BYTES    (64u << 20)        /* one control message */
#define CV_MAX_NODE_NAME     64u
#define CV_MAX_HELD_MODELS   4096u              /* in a node's layer cache */
#define CV_MAX_SOURCES       64u                /* blob servers named in one LOAD */
#define CV_MAX_CALL_TEXT     4096u              /* bytes of an address, a name or a message in a call */

/* Clients */
#define CV_MAX_HTTP_BODY     (64u << 20)
#define CV_MAX_HTTP_HEADERS  (16u << 10)
#define CV_MAX_JSON_DEPTH    64u
#define CV_MAX_STOP_STRINGS  64u
#define CV_MAX_STOP_BYTES    4096u
#define CV_MAX_CHOICES       128u
#define CV_MAX_MESSAGES      65536u

/* Templates */
#define CV_MAX_TEMPLATE_BYTES (4u << 20)
#define CV_MAX_TEMPLATE_OUTPUT (64u << 20)
#define CV_MAX_TEMPLATE_STEPS (50u * 1000u * 1000u)
#define CV_MAX_TEMPLATE_DEPTH 200u             /* nesting in the source, of macro calls, of values */
#define CV_MAX_TEMPLATE_FRAMES 2000u           /* nodes of a template that are being evaluated at the same time */
#define CV_MAX_TEMPLATE_MEMORY (256u << 20)    /* a parsed template, and what one render makes */
#define CV_MAX_TEMPLATE_RANGE 100000u          /* numbers of range(), as Jinja's sandbox has it */

#endif
