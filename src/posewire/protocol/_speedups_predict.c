/* What the encoder predicts a part from: its reference, its parents' motion, the reference's own motion, and the affine
   motion that fits best. The choices are those of part_encoder.py; sums are whole numbers, and what is reckoned with
   them has the order of least_squares.py, so both sides of a choice come out as there to the last bit. */

#include "_speedups.h"
#include <math.h>

enum { AFFINE_FROM = 64, AFFINE_COST = 120, MOTION_COST = 16 };
#define RIDGE 1e-3
#define RIGID 1e-9

/* Rows of values less the parent's. */
void differences(const Layout *layout, const int32_t *values, int32_t *moves, int rows)
{
    const int count = layout->count;
    for (int row = 0; row < rows; row++, values += count, moves += count) {
        moves[0] = values[0];
        if (layout->is_chain)
            for (int j = 1; j < count; j++)
                moves[j] = values[j] - values[j - 1];
        else
            for (int j = 1; j < count; j++)
                moves[j] = values[j] - values[layout->parents[j]];
    }
}

static double product(const int32_t *one, const int32_t *other, int count)
{
    int64_t sum = 0;
    for (int j = 0; j < count; j++)
        sum += (int64_t)one[j] * other[j];
    return (double)sum;
}

static int64_t size_of(const int32_t *row, int count)
{
    int64_t sum = 0;
    for (int j = 0; j < count; j++)
        sum += row[j] < 0 ? -row[j] : row[j];
    return sum;
}

/* Whether differences from the parents are the smaller numbers. */
static int smaller(const int32_t *moves, const int32_t *flat, int count)
{
    double ratio = 1;
    for (int row = 0; row < 3; row++)
        ratio *= (double)(size_of(moves + row * count, count) + 1) / (double)(size_of(flat + row * count, count) + 1);
    return ratio < 1;
}

static double dot(const double one[4], const double other[4])
{
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2] + one[3] * other[3];
}

static void times(const double row[4], double inverse[4][4], double result[4])
{
    for (int i = 0; i < 4; i++)
        result[i] = dot(row, inverse[i]);
}

static void invert(double normal[4][4], double inverse[4][4])
{
    const double ridge = RIDGE * (1 + 1e-7 * (normal[0][0] + normal[1][1] + normal[2][2] + normal[3][3]));
    double lower[4][4], pivots[4];
    for (int i = 0; i < 4; i++) {
        double pivot = i ? normal[i][i] + ridge : normal[0][0];
        for (int j = 0; j < i; j++) {
            double rest = normal[i][j];
            for (int k = 0; k < j; k++)
                rest -= lower[i][k] * lower[j][k] * pivots[k];
            lower[i][j] = rest / pivots[j];
        }
        for (int k = 0; k < i; k++)
            pivot -= lower[i][k] * lower[i][k] * pivots[k];
        pivots[i] = pivot;
    }
    for (int column = 0; column < 4; column++) {
        double *row = inverse[column];
        for (int i = 0; i < 4; i++) {
            double rest = i == column;
            for (int k = 0; k < i; k++)
                rest -= lower[i][k] * row[k];
            row[i] = rest;
        }
        for (int i = 0; i < 4; i++)
            row[i] /= pivots[i];
        for (int i = 2; i >= 0; i--)
            for (int k = i + 1; k < 4; k++)
                row[i] -= lower[k][i] * row[k];
    }
}

/* Sums of rows of values times one, and times the reference's x, y and z around their means. */
static void sum_up(const Part *reference, const int32_t *values, int count, int64_t sums[3][4])
{
    const int32_t *x = reference->q, *y = x + count, *z = y + count;
    const int32_t mean_x = reference->means[0], mean_y = reference->means[1], mean_z = reference->means[2];
    for (int row = 0; row < 3; row++, values += count) {
        int64_t sum = 0, by_x = 0, by_y = 0, by_z = 0;
        for (int j = 0; j < count; j++) {
            const int64_t value = values[j];
            sum += value;
            by_x += value * (x[j] - mean_x);
            by_y += value * (y[j] - mean_y);
            by_z += value * (z[j] - mean_z);
        }
        sums[row][0] = sum;
        sums[row][1] = by_x;
        sums[row][2] = by_y;
        sums[row][3] = by_z;
    }
}

static void as_doubles(int64_t sums[3][4], double result[3][4])
{
    for (int row = 0; row < 3; row++)
        for (int i = 0; i < 4; i++)
            result[row][i] = (double)sums[row][i];
}

/* Work out what a reference of many landmarks is good for, once. */
static void solve(Part *reference, int count)
{
    Fit *fit = &reference->fit;
    int64_t sums[3][4];
    double rows[3][4], normal[4][4];
    find_means(reference, count);
    sum_up(reference, reference->q, count, sums);
    /* Those are of the basis times q, which is the basis and the mean. */
    normal[0][0] = count;
    for (int i = 0; i < 3; i++)
        normal[0][i + 1] = normal[i + 1][0] = (double)(sums[i][0] - (int64_t)count * reference->means[i]);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const int64_t of_basis = sums[j][0] - (int64_t)count * reference->means[j];
            normal[i + 1][j + 1] = (double)(sums[i][j + 1] - reference->means[i] * of_basis);
        }
    invert(normal, fit->inverse);
    if (reference->has_motion) {
        sum_up(reference, reference->motion, count, sums);
        as_doubles(sums, rows);
        for (int row = 0; row < 3; row++) {
            const int32_t *way = reference->motion + row * count;
            const double square = product(way, way, count);
            double left;
            times(rows[row], fit->inverse, fit->affine_ways[row]);
            left = square - dot(rows[row], fit->affine_ways[row]);
            fit->lengths[row] = left > RIGID * square ? left : 0.0;
        }
    }
    fit->solved = 1;
}

static double eighths(double part, double length)
{
    return length > 0 ? 8 * part / length : 0.0;
}

static int share(double part)
{
    const double rounded = rint(part);
    return rounded < -SHARE_BIAS ? -SHARE_BIAS : rounded > SHARE_BIAS - 1 ? SHARE_BIAS - 1 : (int)rounded;
}

/* Take shares of the reference's motion from the values where there are any. */
static void less_motion(const Part *reference, const Part *made, int count, const int shares[3], int32_t *values)
{
    for (int row = 0; row < 3; row++)
        for (int j = 0; j < count; j++)
            if (!made->has_found || made->found[j])
                values[row * count + j] -= share_of(reference->motion[row * count + j], shares[row]);
}

/* How many eighths of the reference's motion are in `moves` of a chain; 0 where they would not pay. */
static int shares_of_chain(const Layout *layout, const Part *reference, const int32_t *moves, int32_t *ways,
                           int shares[3])
{
    const int count = layout->count;
    double saved = 0;
    differences(layout, reference->motion, ways, 3);
    for (int row = 0; row < 3; row++) {
        const int32_t *move = moves + row * count, *way = ways + row * count;
        const double energy = product(move, move, count), length = product(way, way, count);
        const double part = eighths(product(move, way, count), length);
        double after;
        shares[row] = share(part);
        after = energy - (2 * part - shares[row]) * shares[row] * length / 64;
        after = after > 0 ? after : 0;
        saved += log2((energy + count) / (after + count));
    }
    return saved * count > 2 * MOTION_COST && (shares[0] || shares[1] || shares[2]);
}

/* By the reference, the parents' motion, and for a chain as much of the reference's motion as goes on. */
static void predict_small(const Layout *layout, const Part *made, const Part *reference, int32_t *values,
                          int32_t *moves, Prediction *prediction)
{
    const int count = layout->count;
    differences(layout, values, moves, 3);
    prediction->flags = TREE;
    if (layout->is_chain) {
        if (reference->has_motion
            && shares_of_chain(layout, reference, moves, moves + 3 * count, prediction->shares)) {
            less_motion(reference, made, count, prediction->shares, values);
            differences(layout, values, moves, 3);
            prediction->flags |= MOTION;
        }
        if (!smaller(moves, values, count)) {
            prediction->flags ^= TREE;
            return;
        }
    }
    memcpy(values, moves, 3 * (size_t)count * sizeof *values);
}

/* Put what affine motion leaves of the values into `left`; whether that pays for its twelve numbers. */
static int affine_pays(const Part *made, const Part *reference, int count, const int32_t *values,
                       const int64_t *coefficients, int32_t *left)
{
    const int32_t *q = reference->q;
    const double size = 3.0 * count;
    uint64_t before = 0, after = 0;
    for (int j = 0; j < count; j++) {
        const int64_t place[3] = {
            q[j] - reference->means[0], q[count + j] - reference->means[1], q[2 * count + j] - reference->means[2]};
        const int found = !made->has_found || made->found[j];
        for (int row = 0; row < 3; row++) {
            const int64_t value = values[row * count + j];
            const int64_t rest = found ? value - affine_at(coefficients + 4 * row, place) : 0;
            if (rest >= SYMBOL_LIMIT || rest <= -SYMBOL_LIMIT)
                return 0;
            before += (uint64_t)(value * value);
            after += (uint64_t)(rest * rest);
            left[row * count + j] = (int32_t)rest;
        }
    }
    /* Half the logarithm of the variance is what a number costs, but for a constant. */
    return size * 0.5 * log2(((double)before + size) / ((double)after + size)) > AFFINE_COST;
}

/* By the reference, as much of its motion as goes on, and the affine motion that fits best. */
static void predict_large(const Layout *layout, const Part *made, Part *reference, int32_t *values, int32_t *moves,
                          Prediction *prediction)
{
    static const double units[4] = {1, 1 << AFFINE_BITS, 1 << AFFINE_BITS, 1 << AFFINE_BITS};
    const int count = layout->count;
    const Fit *fit = &reference->fit;
    int64_t sums[3][4];
    double rows[3][4], best[4];
    int affine = 1;

    if (!fit->solved)
        solve(reference, count);
    prediction->flags = 0;
    sum_up(reference, values, count, sums);
    as_doubles(sums, rows);
    if (reference->has_motion) {
        for (int row = 0; row < 3; row++) {
            /* Only what affine motion does not explain anyhow. */
            const double part = product(values + row * count, reference->motion + row * count, count);
            prediction->shares[row] = share(eighths(part - dot(rows[row], fit->affine_ways[row]), fit->lengths[row]));
        }
        if (prediction->shares[0] || prediction->shares[1] || prediction->shares[2]) {
            less_motion(reference, made, count, prediction->shares, values);
            prediction->flags |= MOTION;
            sum_up(reference, values, count, sums);
            as_doubles(sums, rows);
        }
    }
    for (int row = 0; row < 3; row++) {
        times(rows[row], reference->fit.inverse, best);
        for (int i = 0; i < 4; i++) {
            const double number = rint(best[i] * units[i]);
            const int fits = number > -AFFINE_LIMIT && number < AFFINE_LIMIT; /* not when it is no number */
            affine &= fits;
            prediction->coefficients[4 * row + i] = fits ? (int64_t)number : 0;
        }
    }
    if (affine && affine_pays(made, reference, count, values, prediction->coefficients, moves)) {
        prediction->flags |= AFFINE;
    } else {
        differences(layout, values, moves, 3);
        if (!smaller(moves, values, count))
            return;
        prediction->flags |= TREE;
    }
    memcpy(values, moves, 3 * (size_t)count * sizeof *values);
}

/* Fill `values` with what prediction leaves; `moves` is room for 6 rows. Where nothing was found, q becomes the
   reference's. */
void predict(const Layout *layout, Part *made, Part *reference, int32_t *values, int32_t *moves, Prediction *prediction)
{
    const int count = layout->count;
    for (int channel = 0; channel < 4; channel++) {
        const uint8_t *found = made->has_found ? made->found + (channel == 3) * count : NULL;
        const int32_t *old = reference->q + channel * count;
        int32_t *q = made->q + channel * count;
        for (int j = 0; j < count; j++) {
            if (found != NULL && !found[j])
                q[j] = old[j];
            values[channel * count + j] = q[j] - old[j];
        }
    }
    if (count < AFFINE_FROM)
        predict_small(layout, made, reference, values, moves, prediction);
    else
        predict_large(layout, made, reference, values, moves, prediction);
}
