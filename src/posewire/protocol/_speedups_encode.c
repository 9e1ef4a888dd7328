/* From landmarks to the bytes of body version 3: what part_encoder.py and rice.py make of them. */

#include "_speedups.h"
#include <float.h>
#include <math.h>

enum { MAX_HEAD = 6 + 2 * MAX_LANDMARKS / 8, MAX_SYMBOL_BYTES = 8 };
#define FAR 64.0
#define PAIRS_BELOW 1.2

/* A part ready to be packed. */
typedef struct {
    uint8_t head[MAX_HEAD];
    int head_size;
    int groups;
    Group group[5];
    int count;
    uint32_t *symbols;
} Coded;

/* Room for the work on one part: rows of the largest part's landmarks. */
typedef struct {
    int32_t *values;                      /* 4 rows: what prediction leaves */
    int32_t *moves;                       /* 6 rows */
    int32_t *alone;                       /* 4 rows: q without the reference */
    uint32_t *symbols;                    /* of a part that is tried another way */
} Room;

/* The nearest whole number, ties to even. */
static inline double nearest(double value)
{
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
    /* Up there a double has no room for a fraction. What is too large for this stays too large. */
    const double high = 6755399441055744.0; /* 1.5 * 2^52 */
    return (value + high) - high;
#else
    return rint(value);
#endif
}

/* Whole numbers of a part, and what was found of it; 0 where one is too large. */
static int quantise(const Layout *layout, const Landmarks *landmarks, Part *made)
{
    const int count = layout->count;
    int missing = 0;
    memset(made->found, 1, 2 * (size_t)count);
    for (int channel = 0; channel < 4; channel++) {
        const char *at = landmarks->data + channel * landmarks->column;
        const double scale = layout->scale[channel];
        int32_t *q = made->q + channel * count;
        for (int j = 0; j < count; j++, at += landmarks->row) {
            float number;
            double steps;
            memcpy(&number, at, sizeof number);
            steps = nearest((double)number * scale);
            if (steps >= -VALUE_LIMIT && steps <= VALUE_LIMIT) {
                q[j] = (int32_t)steps;
            } else {
                if (number == number)
                    return 0;
                missing = 1;
                q[j] = 0;
                if (channel == 0)
                    made->found[j] = 0;
                else if (channel == 3)
                    made->found[count + j] = 0;
            }
        }
    }
    made->has_found = missing;
    return 1;
}

/* Mean size of each channel's numbers, brought to one level by the weights. */
static void find_sizes(const Layout *layout, const int32_t *values, int flags, double means[4])
{
    const int count = layout->count;
    for (int channel = 0; channel < 4; channel++, values += count) {
        if (flags & TREE && !layout->is_chain) {
            const double *weights = layout->weights[channel];
            double sum = 0;
            for (int j = 0; j < count; j++)
                sum += (values[j] < 0 ? -values[j] : values[j]) * weights[j];
            means[channel] = sum / count;
        } else {
            int64_t sum = 0;
            for (int j = 0; j < count; j++)
                sum += values[j] < 0 ? -values[j] : values[j];
            means[channel] = (double)sum / count;
        }
    }
}

static double clamped(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* Put neighbours taken together into `ranks`; their Rice parameter, or -1 where that is no smaller. */
static int pair_up(const int32_t *row, int count, double mean, uint32_t *ranks)
{
    const int pairs = (count + 1) / 2;
    const double total = mean * count;
    int64_t together = 0;
    int k;
    for (int j = 0; j < count; j++)
        if (row[j] > PAIR_LIMIT || row[j] < -PAIR_LIMIT)
            return -1;
    for (int pair = 0; pair < pairs; pair++) {
        const int second = 2 * pair + 1 < count ? row[2 * pair + 1] : 0;
        ranks[pair] = pair_ranks[(row[2 * pair] + PAIR_LIMIT) * PAIR_SIDE + second + PAIR_LIMIT];
        together += ranks[pair];
    }
    k = (int)clamped(rint(log2((double)together / pairs)), 0, RICE - PAIRS - 1);
    return (double)((together >> k) + (int64_t)(1 + k) * pairs) < 1.75 * total + count ? k : -1;
}

static uint32_t zigzag(int64_t value)
{
    return (uint32_t)((uint64_t)value << 1) ^ (value < 0 ? 0xffffffff : 0);
}

/* Choose the levels of the channels and lay everything out. */
static void lay_out(const Layout *layout, const Part *made, int mode, const Prediction *prediction,
                    const int32_t *values, const double means[4], Coded *coded)
{
    const int count = layout->count, flags = prediction->flags;
    uint8_t *head = coded->head;
    uint32_t *symbols = coded->symbols;
    int levels = 0;

    *head++ = (uint8_t)(mode | flags);
    if (flags & MOTION) {
        int shares = 0;
        for (int row = 2; row >= 0; row--)
            shares = shares << 5 | (prediction->shares[row] + SHARE_BIAS);
        *head++ = (uint8_t)shares;
        *head++ = (uint8_t)(shares >> 8);
    }
    coded->groups = 0;
    if (flags & AFFINE) {
        coded->group[coded->groups++] = (Group){AFFINE_NUMBERS, AFFINE_K, NULL};
        for (int j = 0; j < AFFINE_NUMBERS; j++)
            *symbols++ = zigzag(prediction->coefficients[j]);
    }
    for (int channel = 0; channel < 4; channel++) {
        const int32_t *row = values + channel * count;
        const double mean = means[channel];
        int level = ZERO, k = -1;
        if (mean != 0) {
            if (mean < PAIRS_BELOW)
                k = pair_up(row, count, mean, symbols);
            if (k >= 0)
                level = PAIRS + k;
            else
                level = (int)clamped(rint(4 * log2(1.9 * mean)) + LEVEL_BIAS, RICE, MAX_LEVEL);
            if (level >= RICE)
                for (int j = 0; j < count; j++)
                    symbols[j] = zigzag(row[j]);
            coded->group[coded->groups] = group_of(layout, channel, level, flags & TREE);
            symbols += coded->group[coded->groups++].count;
        }
        levels |= level << 6 * channel;
    }
    for (int byte = 0; byte < 3; byte++)
        *head++ = (uint8_t)(levels >> 8 * byte);
    for (int mask = 0; mode == MASKED && mask < 2; mask++) {
        const uint8_t *found = made->found + mask * count;
        memset(head, 0, (size_t)(count + 7) / 8);
        for (int j = 0; j < count; j++)
            head[j / 8] |= (uint8_t)(found[j] << (7 - j % 8));
        head += (count + 7) / 8;
    }
    coded->head_size = (int)(head - coded->head);
    coded->count = (int)(symbols - coded->symbols);
}

/* About how many bits a part takes. */
static int64_t bits_of(const Coded *coded)
{
    const uint32_t *symbol = coded->symbols;
    int64_t bits = coded->count;
    for (int each = 0; each < coded->groups; each++)
        for (int j = 0; j < coded->group[each].count; j++, symbol++) {
            const int k = parameter(&coded->group[each], j);
            bits += k + ((*symbol >> k) < 32 ? *symbol >> k : 32);
        }
    return bits;
}

/* Code a part without its reference: `q` becomes what the other side will know, `rows` are room for the numbers. */
static void code_alone(const Layout *layout, const Part *made, int mode, int32_t *q, int32_t *rows, Coded *coded)
{
    const int count = layout->count;
    Prediction prediction = {INTRA | TREE, {0}, {0}};
    double means[4];
    for (int channel = 0; channel < 4 && made->has_found; channel++) {
        /* Whatever is cheap where nothing was found: the mean of what was. */
        const uint8_t *found = made->found + (channel == 3) * count;
        int32_t *row = q + channel * count;
        int64_t sum = 0, there = 0, fill;
        for (int j = 0; j < count; j++)
            if (found[j]) {
                sum += row[j];
                there++;
            }
        there = there ? there : 1;
        fill = (sum - (sum < 0 ? there - 1 : 0)) / there;
        for (int j = 0; j < count; j++)
            if (!found[j])
                row[j] = (int32_t)fill;
    }
    differences(layout, q, rows, 4);
    find_sizes(layout, rows, prediction.flags, means);
    lay_out(layout, made, mode, &prediction, rows, means, coded);
}

/* Code a part against its reference, or without it where that is better; `made` has what was found and becomes what
   the other side will know. */
static void code_part(const Layout *layout, Part *made, Part *reference, const Room *room, Coded *coded)
{
    const int count = layout->count;
    const size_t rows = 4 * (size_t)count * sizeof(int32_t);
    Prediction prediction;
    Coded other;
    double means[4];
    int mode = ALL, far = 0;

    coded->groups = coded->count = 0;
    if (made->absent || (made->has_found && !any(made->found, 2 * count))) {
        coded->head[0] = made->absent ? ABSENT : NOTHING;
        coded->head_size = 1;
        keep_part(reference, made, count);
        return;
    }
    if (made->has_found)
        mode = reference != NULL && reference->has_found && !memcmp(made->found, reference->found, 2 * (size_t)count)
                   ? SAME
                   : MASKED;
    made->known = 1;
    if (reference == NULL || !reference->known) {
        code_alone(layout, made, mode, made->q, room->moves, coded);
        return;
    }
    predict(layout, made, reference, room->values, room->moves, &prediction);
    find_sizes(layout, room->values, prediction.flags, means);
    for (int channel = 0; channel < 4; channel++)
        far |= !(means[channel] < FAR);
    if (far) {
        /* A cut, another person: what is shorter. */
        int representable = 1;
        for (int j = 0; j < 4 * count; j++)
            representable &= room->values[j] < SYMBOL_LIMIT / 2 && room->values[j] > -SYMBOL_LIMIT / 2;
        memcpy(room->alone, made->q, rows);
        other.symbols = room->symbols;
        code_alone(layout, made, mode, room->alone, room->moves, &other);
        if (representable)
            lay_out(layout, made, mode, &prediction, room->values, means, coded);
        if (!representable || bits_of(&other) < bits_of(coded)) {
            memcpy(made->q, room->alone, rows);
            memcpy(coded->symbols, other.symbols, (size_t)other.count * sizeof *other.symbols);
            other.symbols = coded->symbols;
            *coded = other;
            return;
        }
    } else {
        lay_out(layout, made, mode, &prediction, room->values, means, coded);
    }
    find_motion(made, reference, count);
}

/* Bits, the highest first. */
typedef struct {
    uint8_t *at;
    uint64_t word;
    int filled;
} Writer;

static inline void put(Writer *writer, uint32_t value, int width) /* width to 32, value below 2^width */
{
    writer->filled += width;
    writer->word = writer->word << width | value;
    while (writer->filled >= 8) {
        writer->filled -= 8;
        *writer->at++ = (uint8_t)(writer->word >> writer->filled);
    }
}

/* Unary steps of a symbol with parameter `*k`, which becomes the width of its low bits, and those. */
static inline int split(uint32_t symbol, int *k, uint32_t *low)
{
    uint32_t steps = symbol >> *k;
    if (steps < LINEAR_STEPS) {
        *low = symbol - (steps << *k);
        return (int)steps;
    }
    steps = 63 - (uint32_t)zeros_before(steps - (LINEAR_STEPS - 2));
    *low = symbol - ((LINEAR_STEPS - 2 + ((uint32_t)1 << steps)) << *k);
    *k += (int)steps;
    return LINEAR_STEPS - 1 + (int)steps;
}

/* All prefixes, then all low bits. */
static uint8_t *pack(const Coded *coded, int parts, uint8_t *at)
{
    Writer writer = {at, 0, 0};
    for (int low_bits = 0; low_bits < 2; low_bits++)
        for (int part = 0; part < parts; part++) {
            const uint32_t *symbol = coded[part].symbols;
            for (int each = 0; each < coded[part].groups; each++) {
                const Group *group = &coded[part].group[each];
                for (int j = 0; j < group->count; j++) {
                    uint32_t low;
                    int k = parameter(group, j), zeros = split(*symbol++, &k, &low);
                    if (low_bits) {
                        put(&writer, low, k);
                        continue;
                    }
                    if (zeros >= 32) {
                        put(&writer, 0, 16);
                        zeros -= 16;
                    }
                    put(&writer, 1, zeros + 1);
                }
            }
        }
    if (writer.filled)
        put(&writer, 0, 8 - writer.filled);
    return writer.at;
}

Py_ssize_t encode_frame(const Chain *chain, const Landmarks landmarks[MAX_PARTS], Frame *before, Frame *made,
                        uint8_t **bytes)
{
    const size_t symbols = 4 * (size_t)chain->landmarks + MAX_PARTS * AFFINE_NUMBERS, most = (size_t)chain->most;
    const size_t written = (MAX_PARTS * MAX_HEAD + MAX_SYMBOL_BYTES * symbols + 15) & ~(size_t)7;
    const size_t words = symbols + (4 * most + AFFINE_NUMBERS) + (4 + 6 + 4) * most;
    Coded coded[MAX_PARTS];
    uint32_t *free_symbols;
    uint8_t *at;
    Room room;

    for (int part = 0; part < chain->parts; part++) {
        made->parts[part].absent = landmarks[part].data == NULL;
        if (!made->parts[part].absent && !quantise(&chain->layouts[part], &landmarks[part], &made->parts[part]))
            return 0;
    }
    *bytes = at = PyMem_Malloc(written + words * sizeof *free_symbols);
    if (at == NULL)
        return -1;
    free_symbols = (uint32_t *)(at + written);
    room.symbols = free_symbols + symbols;
    room.values = (int32_t *)(room.symbols + 4 * most + AFFINE_NUMBERS);
    room.moves = room.values + 4 * most;
    room.alone = room.moves + 6 * most;
    for (int part = 0; part < chain->parts; part++) {
        coded[part].symbols = free_symbols;
        code_part(&chain->layouts[part], &made->parts[part], before == NULL ? NULL : &before->parts[part], &room,
                  &coded[part]);
        free_symbols += coded[part].count;
    }
    for (int part = 0; part < chain->parts; part++) {
        memcpy(at, coded[part].head, (size_t)coded[part].head_size);
        at += coded[part].head_size;
    }
    return pack(coded, chain->parts, at) - *bytes;
}
