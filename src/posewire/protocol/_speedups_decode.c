/* From the bytes of body version 3 to the values of its parts. Refuses what part_decoder.py and rice.py refuse, in the
   same order, with the same words. */

#include "_speedups.h"
#include <stdio.h>

uint16_t pair_ranks[PAIR_COUNT];
int8_t pairs_by_rank[PAIR_COUNT][2];

/* What the header bytes of a part say. */
typedef struct {
    int mode, flags;
    int shares[3];
    int groups;                           /* of symbols, without those of affine motion */
    int channels[4];                      /* of each group */
    int pairs[4];
    Group group[4];
} Plan;

typedef struct {
    const uint8_t *data;
    Py_ssize_t size, at;
    char *why;
} Reader;

/* Symbols that wait for their low bits. */
typedef struct {
    const uint8_t *bits;
    int64_t at;
    const uint8_t *steps;
} Symbols;

static const Group affine_group = {AFFINE_NUMBERS, AFFINE_K, NULL};

#define REFUSE(why, ...) (snprintf(why, WHY_BYTES, __VA_ARGS__), -1)

/* By distance from zero, then the first, then the second. */
void fill_pairs(void)
{
    int rank = 0;
    for (int square = 0; square <= 2 * PAIR_LIMIT * PAIR_LIMIT; square++)
        for (int first = -PAIR_LIMIT; first <= PAIR_LIMIT; first++) {
            const int rest = square - first * first;
            if (rest < 0 || rest > PAIR_LIMIT * PAIR_LIMIT)
                continue;
            for (int second = -PAIR_LIMIT; second <= PAIR_LIMIT; second++)
                if (second * second == rest) {
                    pairs_by_rank[rank][0] = (int8_t)first;
                    pairs_by_rank[rank][1] = (int8_t)second;
                    pair_ranks[(first + PAIR_LIMIT) * PAIR_SIDE + second + PAIR_LIMIT] = (uint16_t)rank++;
                }
        }
}

/* Means of x, y and z, rounded down, once for a reference. */
void find_means(Part *part, int count)
{
    if (part->has_means)
        return;
    for (int channel = 0; channel < 3; channel++) {
        const int32_t *row = part->q + channel * count;
        int64_t sum = 0;
        for (int j = 0; j < count; j++)
            sum += row[j];
        part->means[channel] = (int32_t)((sum - (sum < 0 ? count - 1 : 0)) / count);
    }
    part->has_means = 1;
}

/* x, y and z less those before. */
void find_motion(Part *part, const Part *reference, int count)
{
    for (int j = 0; j < 3 * count; j++)
        part->motion[j] = part->q[j] - reference->q[j];
    part->has_motion = 1;
}

/* A part of which nothing was sent is as it was. */
void keep_part(const Part *reference, Part *made, int count)
{
    const size_t size = 4 * (size_t)count * sizeof *made->q;
    if (reference == NULL)
        memset(made->q, 0, size);
    else
        memcpy(made->q, reference->q, size);
    made->known = reference != NULL && reference->known;
}

static int take(Reader *reader, Py_ssize_t count, const uint8_t **taken)
{
    if (reader->size - reader->at < count)
        return REFUSE(reader->why, "body of %lld bytes is cut short", (long long)reader->size);
    *taken = reader->data + reader->at;
    reader->at += count;
    return 0;
}

static int read_mask(Reader *reader, int count, uint8_t *found)
{
    const uint8_t *bits;
    if (take(reader, (count + 7) / 8, &bits) < 0)
        return -1;
    if (count % 8 && bits[count / 8] & (0xff >> count % 8))
        return REFUSE(reader->why, "a mask with more bits than landmarks");
    for (int j = 0; j < count; j++)
        found[j] = bits[j / 8] >> (7 - j % 8) & 1;
    return 0;
}

/* Whether the first byte of a part means something with this reference. */
static int has_meaning(int mode, int flags, const Part *reference, int count)
{
    if (mode < ALL || mode > MASKED || flags & UNUSED)
        return 0;
    if (mode == SAME && (reference == NULL || !reference->has_found || !any(reference->found, 2 * count)))
        return 0;
    if (flags & INTRA)
        return !(flags & (AFFINE | MOTION));
    return reference != NULL && reference->known && !(flags & MOTION && !reference->has_motion);
}

/* Read a part's header bytes; `made` gets what was found. */
static int plan_part(Reader *reader, const Layout *layout, const Part *reference, Part *made, Plan *plan)
{
    const uint8_t *bytes;
    const int count = layout->count;
    int packed;

    if (take(reader, 1, &bytes) < 0)
        return -1;
    plan->mode = bytes[0] & 7;
    plan->flags = bytes[0] & ~7;
    plan->groups = 0;
    if (bytes[0] == ABSENT || bytes[0] == NOTHING) {
        made->absent = bytes[0] == ABSENT;
        made->has_found = !made->absent;
        memset(made->found, 0, 2 * (size_t)count);
        return 0;
    }
    if (!has_meaning(plan->mode, plan->flags, reference, count))
        return REFUSE(reader->why, "part byte 0x%02x has no meaning here", bytes[0]);
    if (plan->flags & MOTION) {
        if (take(reader, 2, &bytes) < 0)
            return -1;
        packed = bytes[0] | bytes[1] << 8;
        if (packed >> 15)
            return REFUSE(reader->why, "shares of motion 0x%04x have no meaning", packed);
        for (int channel = 0; channel < 3; channel++)
            plan->shares[channel] = (packed >> 5 * channel & 31) - SHARE_BIAS;
    }
    if (take(reader, 3, &bytes) < 0)
        return -1;
    packed = bytes[0] | bytes[1] << 8 | bytes[2] << 16;
    for (int channel = 0; channel < 4; channel++) {
        const int level = packed >> 6 * channel & 63;
        if (level == ZERO)
            continue;
        plan->channels[plan->groups] = channel;
        plan->pairs[plan->groups] = level < RICE;
        plan->group[plan->groups++] = group_of(layout, channel, level, plan->flags & TREE);
    }
    if (plan->mode == SAME) {
        memcpy(made->found, reference->found, 2 * (size_t)count);
        made->has_found = 1;
    } else if (plan->mode == MASKED) {
        if (read_mask(reader, count, made->found) < 0 || read_mask(reader, count, made->found + count) < 0)
            return -1;
        if (!any(made->found, 2 * count) || memchr(made->found, 0, 2 * (size_t)count) == NULL)
            return REFUSE(reader->why, "masks that say what another mode says");
        made->has_found = 1;
    }
    return 0;
}

/* Walk through the prefixes of all symbols: how many zeros each has goes to `steps`, where the low bits begin to
   `low_at`. `bits` is padded with zeros to a multiple of 8 bytes, and 8 more. */
static int read_prefixes(const Plan *plans, int parts, const uint8_t *bits, int64_t size, uint8_t *steps,
                         int64_t *low_at, char *why)
{
    uint64_t word = load64(bits);         /* what is left of the last 8 bytes that were loaded, highest first */
    int64_t next = 8, low_bits = 0;
    int left = 64, widest = 0, read = 0, count = 0;

    for (int part = 0; part < parts; part++) {
        const int affine = plans[part].flags & AFFINE ? 1 : 0;
        for (int each = -affine; each < plans[part].groups; each++)
            count += each < 0 ? AFFINE_NUMBERS : plans[part].group[each].count;
    }
    if (count == 0)
        return size ? REFUSE(why, "%lld bytes for no symbols", (long long)size) : 0;
    for (int part = 0; part < parts; part++) {
        const int affine = plans[part].flags & AFFINE ? 1 : 0;
        for (int each = -affine; each < plans[part].groups; each++) {
            const Group *group = each < 0 ? &affine_group : &plans[part].group[each];
            for (int j = 0; j < group->count; j++) {
                int64_t zeros = 0;
                int k = parameter(group, j), ahead;
                while (word == 0) {
                    if (next >= size)
                        return REFUSE(why, "%d of %d symbols in %lld bytes", read, count, (long long)size);
                    zeros += left;
                    word = load64(bits + next);
                    next += 8;
                    left = 64;
                }
                ahead = zeros_before(word);
                word = word << ahead << 1;
                left -= ahead + 1;
                zeros += ahead;
                if (zeros >= LINEAR_STEPS) {
                    k += (int)zeros - (LINEAR_STEPS - 1);
                    widest = k > widest ? k : widest;
                }
                low_bits += k;
                steps[read++] = (uint8_t)zeros; /* what does not fit is too wide, and refused below */
            }
        }
    }
    if (widest > MAX_WIDTH)
        return REFUSE(why, "a symbol of %d low bits, more than %d", widest, MAX_WIDTH);
    *low_at = 8 * next - left;
    low_bits += *low_at;
    if (low_bits > 8 * size || 8 * size - low_bits >= 8 || (low_bits % 8 && bits[size - 1] & (0xff >> low_bits % 8)))
        return REFUSE(why, "%lld bytes for %lld bits", (long long)size, (long long)low_bits);
    return 0;
}

static inline uint32_t next_symbol(Symbols *symbols, int k)
{
    const int steps = *symbols->steps++;
    uint32_t least = (uint32_t)steps << k, low;
    if (steps >= LINEAR_STEPS) {
        const int doublings = steps - (LINEAR_STEPS - 1);
        least = (LINEAR_STEPS - 2 + ((uint32_t)1 << doublings)) << k;
        k += doublings;
    }
    /* By two shifts, for k may be 0. At most 25 bits, so 8 bytes hold them from wherever they begin. */
    low = (uint32_t)(load64(symbols->bits + (symbols->at >> 3)) << (symbols->at & 7) >> 1 >> (63 - k));
    symbols->at += k;
    return least + low;
}

static inline int64_t unzigzag(uint32_t symbol)
{
    return (int64_t)(symbol >> 1) ^ -(int64_t)(symbol & 1);
}

/* Read the numbers of a part, [4][count], and those of affine motion. */
static int read_numbers(const Plan *plan, int count, Symbols *symbols, int64_t *coefficients, int64_t *rows, char *why)
{
    memset(rows, 0, 4 * (size_t)count * sizeof *rows);
    if (plan->flags & AFFINE)
        for (int j = 0; j < AFFINE_NUMBERS; j++)
            coefficients[j] = unzigzag(next_symbol(symbols, AFFINE_K));
    for (int each = 0; each < plan->groups; each++) {
        const Group *group = &plan->group[each];
        int64_t *row = rows + plan->channels[each] * count;
        uint32_t highest = 0;
        if (!plan->pairs[each]) {
            for (int j = 0; j < count; j++)
                row[j] = unzigzag(next_symbol(symbols, parameter(group, j)));
            continue;
        }
        for (int pair = 0; pair < group->count; pair++) {
            const uint32_t rank = next_symbol(symbols, group->k);
            if (rank >= PAIR_COUNT) {
                highest = rank > highest ? rank : highest;
                continue;
            }
            row[2 * pair] = pairs_by_rank[rank][0];
            if (2 * pair + 1 < count)
                row[2 * pair + 1] = pairs_by_rank[rank][1];
        }
        if (highest)
            return REFUSE(why, "a pair of rank %lu, of %d", (unsigned long)highest, PAIR_COUNT);
    }
    return 0;
}

/* Add each landmark's parent, which is complete by then. */
static void add_parents(const Layout *layout, int64_t *row)
{
    if (layout->is_chain)
        for (int j = 1; j < layout->count; j++)
            row[j] += row[j - 1];
    else
        for (int j = 1; j < layout->count; j++)
            row[j] += row[layout->parents[j]];
}

static void add_affine(Part *reference, int count, const int64_t coefficients[12], int64_t *rows)
{
    const int32_t *q = reference->q;
    find_means(reference, count);
    for (int j = 0; j < count; j++) {
        const int64_t place[3] = {
            q[j] - reference->means[0], q[count + j] - reference->means[1], q[2 * count + j] - reference->means[2]};
        for (int row = 0; row < 3; row++)
            rows[row * count + j] += affine_at(coefficients + 4 * row, place);
    }
}

/* Complete a part from its numbers. */
static int finish_part(const Layout *layout, const Plan *plan, Part *reference, Part *made, int64_t *rows,
                       const int64_t *coefficients, char *why)
{
    const int count = layout->count;
    int beyond = 0;

    if (plan->flags & TREE)
        /* Visibilities hang together only where nothing better is known of them. */
        for (int channel = 0; channel < (plan->flags & INTRA ? 4 : 3); channel++)
            add_parents(layout, rows + channel * count);
    if (plan->flags & AFFINE) {
        for (int j = 0; j < AFFINE_NUMBERS; j++)
            if (coefficients[j] >= AFFINE_LIMIT || coefficients[j] <= -AFFINE_LIMIT)
                return REFUSE(why, "an affine motion beyond %d", AFFINE_LIMIT);
        add_affine(reference, count, coefficients, rows);
    }
    if (plan->flags & MOTION)
        for (int channel = 0; channel < 3; channel++)
            for (int j = 0; j < count; j++)
                rows[channel * count + j] += share_of(reference->motion[channel * count + j], plan->shares[channel]);
    for (int channel = 0; channel < 4; channel++) {
        const int32_t *old = plan->flags & INTRA ? NULL : reference->q + channel * count;
        const uint8_t *found = old != NULL && made->has_found ? made->found + (channel == 3) * count : NULL;
        const int64_t *row = rows + channel * count;
        int32_t *q = made->q + channel * count;
        for (int j = 0; j < count; j++) {
            int64_t value = old == NULL ? row[j] : row[j] + old[j];
            if (found != NULL && !found[j])
                value = old[j];
            beyond |= value > VALUE_LIMIT || value < -VALUE_LIMIT;
            q[j] = (int32_t)value;
        }
    }
    made->known = 1;
    return beyond ? REFUSE(why, "a value beyond %d steps", VALUE_LIMIT) : 0;
}

/* All parts from their symbols: `bits` are those behind the headers. */
static int finish_parts(const Chain *chain, const Plan *plans, const uint8_t *bits, int64_t size, uint8_t *steps,
                        int64_t *rows, Frame *before, Frame *made, char *why)
{
    int64_t coefficients[AFFINE_NUMBERS];
    Symbols symbols = {bits, 0, steps};
    if (read_prefixes(plans, chain->parts, bits, size, steps, &symbols.at, why) < 0)
        return -1;
    for (int part = 0; part < chain->parts; part++) {
        const Layout *layout = &chain->layouts[part];
        Part *reference = before == NULL ? NULL : &before->parts[part];
        if (plans[part].mode < ALL)
            keep_part(reference, &made->parts[part], layout->count);
        else if (read_numbers(&plans[part], layout->count, &symbols, coefficients, rows, why) < 0
                 || finish_part(layout, &plans[part], reference, &made->parts[part], rows, coefficients, why) < 0)
            return -1;
        else if (!(plans[part].flags & INTRA))
            find_motion(&made->parts[part], reference, layout->count);
    }
    return 0;
}

int decode_frame(const Chain *chain, const uint8_t *data, Py_ssize_t size, Py_ssize_t at, Frame *before, Frame *made,
                 char why[WHY_BYTES])
{
    Reader reader = {data, size, at, why};
    Plan plans[MAX_PARTS];
    size_t bytes, padded, rows_size, symbols;
    uint8_t *memory;
    int result;

    for (int part = 0; part < chain->parts; part++)
        if (plan_part(&reader, &chain->layouts[part], before == NULL ? NULL : &before->parts[part], &made->parts[part],
                      &plans[part]) < 0)
            return -1;
    /* What is longer than float32 travels as float32: a stranger's megabyte is not even looked at. */
    if (size - reader.at > 16 * (Py_ssize_t)chain->landmarks)
        return REFUSE(why, "%lld bytes for %d landmarks", (long long)size, chain->landmarks);
    bytes = (size_t)(size - reader.at);
    padded = (bytes / 8 + 2) * 8;
    rows_size = 4 * (size_t)chain->most * sizeof(int64_t);
    symbols = 4 * (size_t)chain->landmarks + MAX_PARTS * AFFINE_NUMBERS;
    memory = PyMem_Malloc(rows_size + padded + symbols);
    if (memory == NULL)
        return -2;
    memcpy(memory + rows_size, data + reader.at, bytes);
    memset(memory + rows_size + bytes, 0, padded - bytes);
    result = finish_parts(chain, plans, memory + rows_size, (int64_t)bytes, memory + rows_size + padded,
                          (int64_t *)memory, before, made, why);
    PyMem_Free(memory);
    return result;
}
