/* Body version 3, compiled: what its files share. docs/wire.md says what it does, pure_chain.py and part_*.py say it in
   Python, and the two make the same bytes.

   Whole numbers, exact as in Python: a quantised value lies within 2^23, a difference of two within 2^24, a symbol
   below 2^27; sums of products of them are taken in 64 bits. >> of a negative number is taken to round down, as every
   compiler that builds CPython has it.

   Nothing but _speedups.c knows Python: the codec works on plain structs and reports in words. */

#ifndef POSEWIRE_SPEEDUPS_H
#define POSEWIRE_SPEEDUPS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MAX_PARTS = 4, MAX_LANDMARKS = 2048, MAX_TREE = 64 };
enum { ABSENT, NOTHING, ALL, SAME, MASKED };                    /* modes of a part */
enum { INTRA = 8, TREE = 16, AFFINE = 32, MOTION = 64, UNUSED = 128 };
enum { ZERO = 0, PAIRS = 1, RICE = 6, MAX_LEVEL = 63, LEVEL_BIAS = 11 };
enum { AFFINE_K = 6, AFFINE_NUMBERS = 12, AFFINE_BITS = 12, SHARE_BIAS = 16 };
enum { LINEAR_STEPS = 12, MAX_WIDTH = 25 };
enum { PAIR_LIMIT = 15, PAIR_SIDE = 31, PAIR_COUNT = 961 };
#define VALUE_LIMIT ((1 << 23) - 1)
#define AFFINE_LIMIT (1 << 22)
#define SYMBOL_LIMIT (1 << 25)

enum { WHY_BYTES = 120 };

/* How a part's landmarks hang together, and its steps. */
typedef struct {
    int count;
    int is_chain;                         /* each landmark follows the last; then the tables are not filled */
    uint8_t parents[MAX_TREE];            /* each less than its place */
    int8_t offsets[4][MAX_TREE];
    double weights[4][MAX_TREE];
    double scale[4];                      /* steps per unit of x, y, z and visibility */
    double step[4];
} Layout;

/* What the encoder works out of a reference when it is first referred to; see PartReference in part_encoder.py. */
typedef struct {
    int solved;
    double inverse[4][4];
    double affine_ways[3][4];
    double lengths[3];
} Fit;

/* A part of a frame that others refer to. */
typedef struct {
    int32_t *q;                           /* [4][count] */
    int32_t *motion;                      /* [3][count] */
    uint8_t *found;                       /* [2][count] */
    int has_motion, has_found, known, absent;
    int32_t means[3];                     /* of x, y and z, rounded down; only with has_means */
    int has_means;
    Fit fit;
} Part;

typedef struct {
    PyObject_HEAD
    int parts;
    int has[3];                           /* pose, face, hands */
    int landmarks;                        /* of all parts */
    int most;                             /* of the largest part */
    PyObject *shapes[3];                  /* of the arrays */
    Layout layouts[MAX_PARTS];
} Chain;

typedef struct {
    PyObject_VAR_HEAD
    Chain *chain;
    Part parts[MAX_PARTS];
    int32_t numbers[];                    /* what the parts point to */
} Frame;

typedef struct {
    PyTypeObject *chain, *frame, *pose_data;
    PyObject *protocol_error, *ndarray, *float32;
    PyObject *names[5];                   /* of the fields of a pose: its three arrays, timestamp, skeleton */
} State;                                  /* of the module */

/* Symbols with one Rice parameter, or with one for each landmark. */
typedef struct {
    int count;
    int k;
    const int8_t *offsets;                /* then a symbol's is max(0, (offset + k) >> 2) */
} Group;

static inline int parameter(const Group *group, int at)
{
    int k;
    if (group->offsets == NULL)
        return group->k;
    k = group->offsets[at] + group->k;
    return k > 0 ? k >> 2 : 0;
}

/* The symbols of a channel at a level from PAIRS on. */
static inline Group group_of(const Layout *layout, int channel, int level, int tree)
{
    Group group = {layout->count, 0, NULL};
    if (level < RICE) {
        group.count = (layout->count + 1) / 2;
        group.k = level - PAIRS;
    } else if (tree && !layout->is_chain) {
        group.k = level - LEVEL_BIAS;
        group.offsets = layout->offsets[channel];
    } else {
        group.k = level > LEVEL_BIAS ? (level - LEVEL_BIAS) >> 2 : 0;
    }
    return group;
}

/* A row of affine motion, t a0 a1 a2, at a place relative to the mean. */
static inline int64_t affine_at(const int64_t row[4], const int64_t place[3])
{
    return row[0] + ((row[1] * place[0] + row[2] * place[1] + row[3] * place[2] + (1 << (AFFINE_BITS - 1))) >> AFFINE_BITS);
}

/* So many eighths of a motion, rounded. */
static inline int32_t share_of(int32_t motion, int share)
{
    return (motion * share + 4) >> 3;
}

static inline int zeros_before(uint64_t word) /* not 0 */
{
#if defined(__GNUC__)
    return __builtin_clzll(word);
#else
    int zeros = 0;
    while (!(word >> 63)) {
        word <<= 1;
        zeros++;
    }
    return zeros;
#endif
}

/* Eight bytes, the first highest. */
static inline uint64_t load64(const uint8_t *at)
{
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 | (uint64_t)at[3] << 32
         | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 | (uint64_t)at[6] << 8 | (uint64_t)at[7];
}

/* Pairs of small numbers in the order of the wire, and the place of each. */
extern uint16_t pair_ranks[PAIR_COUNT];
extern int8_t pairs_by_rank[PAIR_COUNT][2];

static inline int any(const uint8_t *found, int count)
{
    return memchr(found, 1, (size_t)count) != NULL;
}

/* _speedups_decode.c: what the encoder reckons too, and the decoder. It fills the frame; 0, or -1 and why, or -2
   without memory. */
void fill_pairs(void);
void find_means(Part *part, int count);
void find_motion(Part *part, const Part *reference, int count);
void keep_part(const Part *reference, Part *made, int count);
int decode_frame(const Chain *chain, const uint8_t *data, Py_ssize_t size, Py_ssize_t at, Frame *before, Frame *made,
                 char why[WHY_BYTES]);

/* _speedups_predict.c: the encoder's choice of a prediction. What is left goes to `values`, [4][count]. */
typedef struct {
    int flags;
    int shares[3];
    int64_t coefficients[AFFINE_NUMBERS];
} Prediction;

void differences(const Layout *layout, const int32_t *values, int32_t *moves, int rows);
void predict(const Layout *layout, Part *made, Part *reference, int32_t *values, int32_t *moves, Prediction *made_of);

/* _speedups_encode.c: fills the frame, and memory that is the caller's to free with its bytes. Returns their number, 0
   for a pose with numbers too large for that, or -1 without memory. */
typedef struct {
    const char *data;                     /* NULL: not sent */
    Py_ssize_t row, column;               /* bytes from landmark to landmark, and from number to number */
} Landmarks;

Py_ssize_t encode_frame(const Chain *chain, const Landmarks landmarks[MAX_PARTS], Frame *before, Frame *made,
                        uint8_t **bytes);

/* _speedups_calls.c: methods of `Chain`. */
PyObject *chain_encode(Chain *self, PyObject *const *args, Py_ssize_t count);
PyObject *chain_decode(Chain *self, PyObject *const *args, Py_ssize_t count);

/* _speedups.c */
Frame *new_frame(State *state, Chain *chain);

#endif
