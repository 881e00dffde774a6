/* Statistics and maps of float32 values.

   Statistics take one pass over memory (and a short second one, which counts what is near zero). The values are an array [outer][channels][inner], cut into blocks that stay in the first cache while sums, extremes, central moments
   and the histogram are taken of them. Moments of blocks and of threads are brought together by the formulas of Pebay (2008). What is
   counted is exactly what statistics.py counts with torch's operations; sums differ from its sums by rounding only.

   Maps are those of maps.py: pooled, their range taken, quantised to bytes.

   A glance, for the flight recorder, is one pass for RMS, extremes and what is not finite. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096
#define CODES 2048
#define LEVELS 254 /* as in maps.py */
#define NONFINITE 255
#define TABLES 4
#define TABLE (CODES + 16) /* no power of two: counts of one code would wait for each other where their addresses end alike */
#define MAX_PARTS 64
#define SHARE 16384 /* elements that are worth a part of their own */

#define ADDED_IN_FLOAT 256 /* divided by the lanes: so few additions that rounding stays below what the test of the statistics allows */

/* One object file for old and new processors: the loader picks. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define INLINE static inline __attribute__((always_inline))
#else
#define CLONES
#define INLINE static inline
#endif

typedef struct {
    double n, mean, second, third, fourth;
} Moments;

typedef struct {
    const float *values;
    int64_t start, end; /* of the elements, flat */
    int64_t channels, inner, stride;
    int has_low, has_high;
    float saturated_low, saturated_high;
    float near_zero;
    Moments moments;
    int64_t saturated, nan, posinf, neginf, near_zeros;
    int64_t *finite, *zero; /* [channels] */
    double *total;
    float *low, *high;
    int64_t rows; /* in the two that follow, [channels], and not in those above */
    float *sums;
    int32_t *zeros;
    uint32_t *tables; /* [TABLES][TABLE] */
} Part;

/* a becomes that of both. */
static void combine(Moments *a, const Moments *b) {
    if (b->n == 0)
        return;
    double n = a->n + b->n, delta = b->mean - a->mean, step = delta / n;
    a->fourth += b->fourth + delta * step * step * step * a->n * b->n * (a->n * a->n - a->n * b->n + b->n * b->n) +
                 6 * step * step * (a->n * a->n * b->second + b->n * b->n * a->second) + 4 * step * (a->n * b->third - b->n * a->third);
    a->third += b->third + delta * step * step * a->n * b->n * (a->n - b->n) + 3 * step * (a->n * b->second - b->n * a->second);
    a->second += b->second + delta * step * a->n * b->n;
    a->mean += step * b->n;
    a->n = n;
}

INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE uint32_t magnitude(float x) { return bits_of(x) & 0x7fffffff; }

INLINE int is_finite(float x) { return magnitude(x) < 0x7f800000; }

/* Neither NaN nor infinity nor, from 2^119 on, so large that a sum of floats might overflow. */
INLINE int all_tame(const float *v, int64_t n) {
    uint32_t found = 0;
    for (int64_t i = 0; i < n; i++)
        found |= magnitude(v[i]) >= 0x7b000000;
    return !found;
}

INLINE int64_t count_small(const float *v, int64_t n, float limit) {
    uint32_t bound = magnitude(limit), count = 0;
    for (int64_t i = 0; i < n; i++)
        count += magnitude(v[i]) <= bound;
    return count;
}

/* Of tame values. */
INLINE double look_at(const float *v, int64_t n, float *low, float *high, int64_t *zeros) {
    float l = *low, h = *high;
    double sum = 0;
    for (int64_t from = 0; from < n; from += ADDED_IN_FLOAT) {
        int64_t to = from + ADDED_IN_FLOAT < n ? from + ADDED_IN_FLOAT : n;
        float s = 0;
        uint32_t z = 0;
        for (int64_t i = from; i < to; i++) {
            s += v[i];
            l = v[i] < l ? v[i] : l;
            h = v[i] > h ? v[i] : h;
            z += magnitude(v[i]) == 0;
        }
        sum += s;
        *zeros += z;
    }
    *low = l;
    *high = h;
    return sum;
}

/* Central moments of finite values, scaled by a power of two so that fourth powers neither overflow nor vanish. */
INLINE Moments moments_of(const float *v, int64_t n, double sum, float low, float high) {
    float mean = (float)(sum / n);
    int exponent;
    frexp(fmax(fabs((double)high - mean), fabs((double)low - mean)), &exponent);
    exponent = exponent < -125 ? -125 : exponent; /* the factor must not overflow */
    double scale = ldexp(1, exponent), a = 0, b = 0, c = 0, d = 0;
    float factor = (float)(1 / scale);
    if (exponent > 126) { /* a difference of floats would overflow */
        for (int64_t i = 0; i < n; i++) {
            double z = ((double)v[i] - mean) / scale, q = z * z;
            a += z, b += q, c += q * z, d += q * q;
        }
    }
    for (int64_t from = 0; from < n && exponent <= 126; from += ADDED_IN_FLOAT) {
        int64_t to = from + ADDED_IN_FLOAT < n ? from + ADDED_IN_FLOAT : n;
        float s1 = 0, s2 = 0, s3 = 0, s4 = 0;
        for (int64_t i = from; i < to; i++) {
            float z = (v[i] - mean) * factor, q = z * z;
            s1 += z;
            s2 += q;
            s3 += q * z;
            s4 += q * q;
        }
        a += s1, b += s2, c += s3, d += s4;
    }
    /* From the rounded mean to the true one. */
    double e = a / n;
    Moments found;
    found.n = n;
    found.mean = mean + e * scale;
    found.second = (b - n * e * e) * scale * scale;
    found.third = (c - 3 * e * b + 2 * n * e * e * e) * scale * scale * scale;
    found.fourth = (d - 4 * e * c + 6 * e * e * b - 3 * n * e * e * e * e) * scale * scale * scale * scale;
    return found;
}

INLINE void count_codes(const Part *p, int64_t from, int64_t to) {
    int64_t i = (from + p->stride - 1) / p->stride * p->stride, stride = p->stride;
    uint32_t code, *tables = p->tables;
    /* Neighbours are often equal (zeros after a ReLU): tables in turn, so that one count does not wait for the one before. */
    for (; stride == 1 && i + TABLES <= to; i += TABLES) {
        uint64_t pairs[TABLES / 2];
        memcpy(pairs, p->values + i, sizeof pairs);
        for (int t = 0; t < TABLES / 2; t++) {
            tables[2 * t * TABLE + (pairs[t] >> 21 & (CODES - 1))]++;
            tables[(2 * t + 1) * TABLE + (pairs[t] >> 53)]++;
        }
    }
    for (int t = 0; i < to; i += stride, t = (t + 1) % TABLES) {
        memcpy(&code, p->values + i, sizeof code);
        tables[t * TABLE + (code >> 21)]++;
    }
}

/* A block that is not tame, one value at a time. */
static void wild_block(Part *p, int64_t from, int64_t to) {
    float kept[BLOCK], low = FLT_MAX, high = -FLT_MAX;
    int64_t n = 0;
    double sum = 0;
    for (int64_t i = from; i < to; i++) {
        float x = p->values[i];
        int64_t c = i / p->inner % p->channels;
        p->saturated += (bits_of(x) == 0xff800000 && p->has_low) || (bits_of(x) == 0x7f800000 && p->has_high);
        if (is_finite(x)) {
            p->saturated += (p->has_low && x <= p->saturated_low) + (p->has_high && x >= p->saturated_high);
            kept[n++] = x;
            sum += x;
            low = x < low ? x : low;
            high = x > high ? x : high;
            p->total[c] += x;
            p->finite[c]++;
            p->zero[c] += magnitude(x) == 0;
            p->low[c] = x < p->low[c] ? x : p->low[c];
            p->high[c] = x > p->high[c] ? x : p->high[c];
        } else if (bits_of(x) == 0x7f800000) {
            p->posinf++;
        } else if (bits_of(x) == 0xff800000) {
            p->neginf++;
        } else {
            p->nan++;
        }
        if (n == BLOCK || (i + 1 == to && n)) {
            Moments found = moments_of(kept, n, sum, low, high);
            combine(&p->moments, &found);
            n = 0, sum = 0, low = FLT_MAX, high = -FLT_MAX;
        }
    }
}

/* Brings what rows_of_channels has added up to what is kept exactly. */
static void settle(Part *p) {
    for (int64_t c = 0; c < p->channels; c++) {
        p->total[c] += p->sums[c];
        p->zero[c] += p->zeros[c];
        p->finite[c] += p->rows;
        p->sums[c] = 0;
        p->zeros[c] = 0;
    }
    p->rows = 0;
}

#define LANES 16
typedef float Floats __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t Ints __attribute__((vector_size(LANES * sizeof(int32_t)), aligned(sizeof(int32_t)), may_alias));

#define CHOSEN(mask, yes, no) (Floats)(((mask) & (Ints)(yes)) | (~(mask) & (Ints)(no)))

/* Channels along the last axis: whole rows, of several channels at a time. */
INLINE void few_rows_of_channels(Part *p, const float *v, int64_t rows) {
    int64_t channels = p->channels, c = 0;
    for (; c + LANES <= channels; c += LANES) {
        Floats sum = *(Floats *)(p->sums + c), low = *(Floats *)(p->low + c), high = *(Floats *)(p->high + c);
        Ints zeros = *(Ints *)(p->zeros + c);
        for (int64_t row = 0; row < rows; row++) {
            Floats x = *(const Floats *)(v + row * channels + c);
            sum += x;
            zeros -= ((Ints)x & 0x7fffffff) == 0;
            low = CHOSEN(x < low, x, low);
            high = CHOSEN(x > high, x, high);
        }
        *(Floats *)(p->sums + c) = sum, *(Floats *)(p->low + c) = low, *(Floats *)(p->high + c) = high;
        *(Ints *)(p->zeros + c) = zeros;
    }
    float *restrict sums = p->sums, *restrict lows = p->low, *restrict highs = p->high;
    int32_t *restrict zeros = p->zeros;
    for (int64_t row = 0; row < rows && c < channels; row++) {
        const float *restrict x = v + row * channels;
        for (int64_t rest = c; rest < channels; rest++) {
            sums[rest] += x[rest];
            zeros[rest] += magnitude(x[rest]) == 0;
            lows[rest] = x[rest] < lows[rest] ? x[rest] : lows[rest];
            highs[rest] = x[rest] > highs[rest] ? x[rest] : highs[rest];
        }
    }
    p->rows += rows;
}

INLINE double rows_of_channels(Part *p, int64_t from, int64_t to, float *low, float *high) {
    int64_t channels = p->channels, rows = (to - from) / channels, unused = 0;
    for (int64_t row = 0, some; row < rows; row += some) {
        if (p->rows == ADDED_IN_FLOAT / 8)
            settle(p);
        some = rows - row < ADDED_IN_FLOAT / 8 - p->rows ? rows - row : ADDED_IN_FLOAT / 8 - p->rows;
        few_rows_of_channels(p, p->values + from + row * channels, some);
    }
    return look_at(p->values + from, to - from, low, high, &unused);
}

INLINE double runs_of_channels(Part *p, int64_t from, int64_t to, float *low, float *high) {
    double sum = 0;
    for (int64_t i = from; i < to;) {
        int64_t row = i / p->inner, c = row % p->channels, next = (row + 1) * p->inner;
        int64_t n = (next < to ? next : to) - i;
        float l = FLT_MAX, h = -FLT_MAX;
        double s = look_at(p->values + i, n, &l, &h, &p->zero[c]);
        p->total[c] += s;
        p->finite[c] += n;
        p->low[c] = l < p->low[c] ? l : p->low[c];
        p->high[c] = h > p->high[c] ? h : p->high[c];
        *low = l < *low ? l : *low;
        *high = h > *high ? h : *high;
        sum += s;
        i += n;
    }
    return sum;
}

CLONES static void summarise_part(void *argument) {
    Part *p = argument;
    int64_t block = p->inner == 1 && p->channels > 1 ? (p->channels < BLOCK ? BLOCK / p->channels * p->channels : p->channels) : BLOCK;
    for (int64_t from = p->start; from < p->end; from += block) {
        int64_t to = from + block < p->end ? from + block : p->end;
        const float *v = p->values + from;
        count_codes(p, from, to);
        if (!all_tame(v, to - from)) {
            wild_block(p, from, to);
            continue;
        }
        for (int64_t i = 0; i < to - from && p->has_low; i++)
            p->saturated += v[i] <= p->saturated_low;
        for (int64_t i = 0; i < to - from && p->has_high; i++)
            p->saturated += v[i] >= p->saturated_high;
        float low = FLT_MAX, high = -FLT_MAX;
        double sum = p->inner == 1 && p->channels > 1 ? rows_of_channels(p, from, to, &low, &high)
                                                      : runs_of_channels(p, from, to, &low, &high);
        Moments found = moments_of(v, to - from, sum, low, high);
        combine(&p->moments, &found);
    }
    settle(p);
}

CLONES static void count_near_zero(void *argument) {
    Part *p = argument;
    for (int64_t from = p->start; from < p->end; from += BLOCK) {
        int64_t to = from + BLOCK < p->end ? from + BLOCK : p->end;
        p->near_zeros += count_small(p->values + from, to - from, p->near_zero);
    }
}

/* Runs a function in so many threads at once, and waits for all: GOMP_parallel of the OpenMP library that torch uses, whose threads
   are awake between two of torch's own operations. NULL: everything runs in the thread that calls. */
typedef void (*Team)(void (*work)(void *), void *argument, unsigned threads, unsigned flags);
static Team team;

void actviz_use_team(Team found) { team = found; }

typedef struct {
    void (*work)(void *);
    char *parts;
    size_t size;
    int count, next;
} Shared;

static void take_parts(void *argument) {
    Shared *shared = argument;
    int part;
    while ((part = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED)) < shared->count)
        shared->work(shared->parts + part * shared->size);
}

static void run(void (*work)(void *), void *parts, size_t size, int count, int threads) {
    Shared shared = {work, parts, size, count, 0};
    if (team && count > 1)
        team(take_parts, &shared, (unsigned)threads, 0); /* always as many as torch has: another number would end some and start them anew */
    else
        take_parts(&shared);
}

static int parts_of(int64_t elements, int64_t most, int threads) {
    int64_t count = elements / SHARE;
    count = count < threads ? count : threads;
    count = count < most ? count : most;
    return count < 1 ? 1 : count > MAX_PARTS ? MAX_PARTS : (int)count;
}

/* See actviz_tb.native. Fills `found`: finite int64 [channels], total double [channels], zero int64 [channels], moments double [4],
   extra int64 [5], codes int64 [CODES], low and high float [channels]. Returns 0, or 1 when there is no memory. */
int actviz_summarise(const float *values, int64_t outer, int64_t channels, int64_t inner, int64_t stride, float near_zero_fraction,
                     int has_low, float saturated_low, int has_high, float saturated_high, int threads, void *found) {
    int64_t *finite = found;
    double *total = (double *)(finite + channels);
    int64_t *zero = (int64_t *)(total + channels);
    double *moments = (double *)(zero + channels);
    int64_t *extra = (int64_t *)(moments + 4), *codes = extra + 5;
    float *low = (float *)(codes + CODES), *high = low + channels;
    int64_t count = outer * channels * inner;
    /* Whole rows a part where rows are short enough; the unit is never more than one part's share. */
    int64_t unit = inner == 1 ? channels : BLOCK, units = (count + unit - 1) / unit;
    int shares = parts_of(count, units, threads);
    size_t per_channel = 2 * sizeof(int64_t) + sizeof(double) + 3 * sizeof(float) + sizeof(int32_t);
    Part parts[MAX_PARTS];
    char *memory = calloc(shares, per_channel * channels + sizeof(uint32_t) * TABLES * TABLE);
    if (!memory)
        return 1;
    char *next = memory;
    for (int t = 0; t < shares; t++) {
        Part *p = &parts[t];
        memset(p, 0, sizeof(Part));
        p->values = values;
        p->start = units * t / shares * unit;
        p->end = units * (t + 1) / shares * unit;
        if (p->end > count)
            p->end = count;
        p->channels = channels, p->inner = inner, p->stride = stride;
        p->has_low = has_low, p->saturated_low = saturated_low;
        p->has_high = has_high, p->saturated_high = saturated_high;
        p->finite = (int64_t *)next, next += channels * sizeof(int64_t);
        p->zero = (int64_t *)next, next += channels * sizeof(int64_t);
        p->total = (double *)next, next += channels * sizeof(double);
        p->tables = (uint32_t *)next, next += sizeof(uint32_t) * TABLES * TABLE;
        p->low = (float *)next, next += channels * sizeof(float);
        p->high = (float *)next, next += channels * sizeof(float);
        p->sums = (float *)next, next += channels * sizeof(float);
        p->zeros = (int32_t *)next, next += channels * sizeof(int32_t);
        for (int64_t c = 0; c < channels; c++)
            p->low[c] = FLT_MAX, p->high[c] = -FLT_MAX;
    }
    run(summarise_part, parts, sizeof(Part), shares, threads);
    Moments whole = {0};
    for (int t = 0; t < shares; t++) {
        Part *p = &parts[t];
        combine(&whole, &p->moments);
        for (int64_t c = 0; c < channels; c++) {
            finite[c] = (t ? finite[c] : 0) + p->finite[c];
            total[c] = (t ? total[c] : 0) + p->total[c];
            zero[c] = (t ? zero[c] : 0) + p->zero[c];
            low[c] = t && low[c] < p->low[c] ? low[c] : p->low[c];
            high[c] = t && high[c] > p->high[c] ? high[c] : p->high[c];
        }
        for (int i = 0; i < CODES; i++) {
            int64_t found = 0;
            for (int table = 0; table < TABLES; table++)
                found += p->tables[table * TABLE + i];
            int index = i ^ (CODES / 2); /* by the sign: negative ones first */
            codes[index] = (t ? codes[index] : 0) + found;
        }
    }
    for (int64_t c = 0; c < channels; c++) {
        if (!finite[c])
            low[c] = from_bits(0x7f800000), high[c] = from_bits(0xff800000);
    }
    double rms = whole.n ? sqrt(whole.second / whole.n + whole.mean * whole.mean) : 0;
    for (int t = 0; t < shares; t++)
        parts[t].near_zero = near_zero_fraction * (float)rms;
    run(count_near_zero, parts, sizeof(Part), shares, threads);
    memset(extra, 0, 5 * sizeof(int64_t));
    for (int t = 0; t < shares; t++) {
        extra[0] += parts[t].near_zeros;
        extra[1] += parts[t].saturated;
        extra[2] += parts[t].nan;
        extra[3] += parts[t].posinf;
        extra[4] += parts[t].neginf;
    }
    if (!has_low && !has_high)
        extra[1] = -1;
    moments[0] = 1;
    moments[1] = whole.second;
    moments[2] = whole.third;
    moments[3] = whole.fourth;
    free(memory);
    return 0;
}

typedef struct {
    const float *values;
    int64_t first, last; /* of the maps */
    int64_t channels, kept, height, width, pool_height, pool_width;
    int64_t sample_stride, channel_stride, row_stride, column_stride;
    uint8_t *data;
    float *low, *high, *mean;
    int failed;
} Drawing;

/* Adds what lies above `base` in a row of the map to sums of its columns; what is constant adds nothing, and so stays so. */
INLINE void add_row(const Drawing *d, const float *row, float base, float *restrict sums) {
    if (d->column_stride == 1) {
        for (int64_t x = 0; x < d->width; x++)
            sums[x] += row[x] - base;
    } else {
        for (int64_t x = 0; x < d->width; x++)
            sums[x] += row[x * d->column_stride] - base;
    }
}

INLINE void quantise(const float *restrict pixels, int64_t n, float low, float high, uint8_t *restrict data) {
    float span = high - low, factor = span > 0 && is_finite(span) ? LEVELS / span : 0;
    for (int64_t i = 0; i < n; i++) {
        float level = rintf((pixels[i] - low) * factor);
        data[i] = (uint8_t)(int32_t)(level < 0 ? 0 : level > LEVELS ? LEVELS : level);
    }
}

/* Where values are not finite, or so large that sums of floats overflow: the former count neither for the range nor for the mean. */
static void draw_masked(const Drawing *d, const float *map, float *pixels, int64_t n, uint8_t *data, float *low, float *high, float *mean) {
    double sum = 0;
    int64_t count = 0, pixel = 0;
    for (int64_t top = 0; top < d->height; top += d->pool_height) {
        for (int64_t left = 0; left < d->width; left += d->pool_width, pixel++) {
            double here = 0;
            int64_t values = 0;
            for (int64_t y = top; y < top + d->pool_height && y < d->height; y++) {
                for (int64_t x = left; x < left + d->pool_width && x < d->width; x++, values++) {
                    float value = map[y * d->row_stride + x * d->column_stride];
                    here += value;
                    if (is_finite(value))
                        sum += value, count++;
                }
            }
            pixels[pixel] = (float)(here / values);
        }
    }
    *mean = count ? (float)(sum / count) : from_bits(0x7fc00000);
    float l = FLT_MAX, h = -FLT_MAX;
    for (int64_t i = 0; i < n; i++) {
        if (is_finite(pixels[i])) {
            l = pixels[i] < l ? pixels[i] : l;
            h = pixels[i] > h ? pixels[i] : h;
        }
    }
    if (l > h)
        l = h = 0;
    for (int64_t i = 0; i < n; i++) {
        if (is_finite(pixels[i]))
            quantise(pixels + i, 1, l, h, data + i);
        else
            data[i] = NONFINITE;
    }
    *low = l, *high = h;
}

/* Pools a map into pixels; returns the sum of its values. */
INLINE double pool(const Drawing *d, const float *map, float *restrict sums, float *restrict pixel) {
    int64_t across = d->pool_width, whole = d->width / across, columns = (d->width + across - 1) / across;
    float base = is_finite(map[0]) && across * d->pool_height > 1 ? map[0] : 0; /* a value alone stays as it is */
    double total = (double)base * d->height * d->width;
    for (int64_t top = 0; top < d->height; top += d->pool_height, pixel += columns) {
        int64_t lines = top + d->pool_height < d->height ? d->pool_height : d->height - top;
        memset(sums, 0, d->width * sizeof(float));
        for (int64_t line = top; line < top + lines; line++)
            add_row(d, map + line * d->row_stride, base, sums);
        memset(pixel, 0, columns * sizeof(float));
        for (int64_t k = 0; k < across; k++) {
            for (int64_t x = 0; x < whole; x++)
                pixel[x] += sums[x * across + k];
        }
        for (int64_t x = whole * across; x < d->width; x++)
            pixel[whole] += sums[x];
        float sum = 0;
        for (int64_t x = 0; x < columns; x++)
            sum += pixel[x];
        total += sum;
        float share = 1 / (float)(lines * across);
        for (int64_t x = 0; x < whole; x++)
            pixel[x] = base + pixel[x] * share;
        if (whole < columns)
            pixel[whole] = base + pixel[whole] / (float)(lines * (d->width - whole * across));
    }
    return total;
}

CLONES static void draw(void *argument) {
    Drawing *d = argument;
    int64_t rows = (d->height + d->pool_height - 1) / d->pool_height, columns = (d->width + d->pool_width - 1) / d->pool_width;
    int64_t values = d->height * d->width, count = rows * columns, zeros = 0;
    int as_it_lies = count == values && d->column_stride == 1 && d->row_stride == d->width;
    float *pooled = malloc(count * sizeof(float));
    float *sums = malloc(d->width * sizeof(float));
    d->failed = !pooled || !sums;
    for (int64_t index = d->first; index < d->last && !d->failed; index++) {
        const float *map = d->values + index / d->kept * d->sample_stride + index % d->kept * d->channels / d->kept * d->channel_stride;
        const float *pixels = as_it_lies ? map : pooled;
        uint8_t *data = d->data + index * count;
        double total = 0;
        for (int64_t i = 0; as_it_lies && i < values; i++)
            total += map[i];
        if (!as_it_lies)
            total = pool(d, map, sums, pooled);
        if (all_tame(pixels, count)) {
            float low = FLT_MAX, high = -FLT_MAX;
            look_at(pixels, count, &low, &high, &zeros);
            quantise(pixels, count, low, high, data);
            d->low[index] = low, d->high[index] = high, d->mean[index] = (float)(total / values);
        } else {
            draw_masked(d, map, pooled, count, data, d->low + index, d->high + index, d->mean + index);
        }
    }
    free(pooled);
    free(sums);
}

/* See actviz_tb.native. Fills `found`: low, high and mean float [samples][kept], data uint8 [samples][kept][rows][columns]. Returns 0, or
   1 when there is no memory. */
int actviz_maps(const float *values, int64_t samples, int64_t channels, int64_t kept, int64_t height, int64_t width, int64_t sample_stride,
                int64_t channel_stride, int64_t row_stride, int64_t column_stride, int64_t pool_height, int64_t pool_width, int threads,
                void *found) {
    Drawing parts[MAX_PARTS];
    int64_t maps = samples * kept;
    float *low = found, *high = low + maps, *mean = high + maps;
    uint8_t *data = (uint8_t *)(mean + maps);
    int failed = 0, shares = parts_of(maps * height * width, maps, threads);
    for (int t = 0; t < shares; t++) {
        Drawing part = {values, maps * t / shares, maps * (t + 1) / shares, channels, kept, height, width, pool_height, pool_width,
                        sample_stride, channel_stride, row_stride, column_stride, data, low, high, mean, 0};
        parts[t] = part;
    }
    run(draw, parts, sizeof(Drawing), shares, threads);
    for (int t = 0; t < shares; t++)
        failed |= parts[t].failed;
    return failed;
}

/* What the flight recorder keeps of an output, as in flight.py. */
typedef struct {
    int64_t count, nan, posinf, neginf;
    double rms;
    float low, high;
} Cell;

typedef struct {
    Cell *cells; /* [rows][columns] */
    int64_t rows, columns, row, window, threads;
    double factor;
} Ring;

typedef struct {
    const float *values;
    int64_t start, end;
    double squares;
    float low, high;
    int64_t nan, posinf, neginf;
} Glance;

#define SQUARED_IN_FLOAT(low, high) (fmaxf(-(low), high) < 0x1p59f && fmaxf(-(low), high) > 0x1p-50f)

static void glance_wildly(Glance *g, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) {
        float x = g->values[i];
        if (is_finite(x)) {
            g->squares += (double)x * x;
            g->low = x < g->low ? x : g->low;
            g->high = x > g->high ? x : g->high;
        } else if (bits_of(x) == 0x7f800000) {
            g->posinf++;
        } else if (bits_of(x) == 0xff800000) {
            g->neginf++;
        } else {
            g->nan++;
        }
    }
}

CLONES static void glance_at_part(void *argument) {
    Glance *g = argument;
    for (int64_t from = g->start; from < g->end; from += BLOCK) {
        int64_t to = from + BLOCK < g->end ? from + BLOCK : g->end;
        const float *v = g->values;
        float low = FLT_MAX, high = -FLT_MAX;
        double squares = 0;
        uint32_t wild = 0;
        for (int64_t some = from; some < to; some += ADDED_IN_FLOAT) {
            int64_t end = some + ADDED_IN_FLOAT < to ? some + ADDED_IN_FLOAT : to;
            float s = 0;
            for (int64_t i = some; i < end; i++) {
                wild |= magnitude(v[i]) >= 0x7f800000;
                s += v[i] * v[i];
                low = v[i] < low ? v[i] : low;
                high = v[i] > high ? v[i] : high;
            }
            squares += s;
        }
        if (wild || !(SQUARED_IN_FLOAT(low, high) || (low == 0 && high == 0))) {
            glance_wildly(g, from, to);
            continue;
        }
        g->squares += squares;
        g->low = low < g->low ? low : g->low;
        g->high = high > g->high ? high : g->high;
    }
}

/* Whether an RMS is `factor` times the former one or more in over half of the window's rows. */
static int jumps(const Ring *ring, int64_t column, double rms) {
    int64_t below = 0;
    for (int64_t back = 1; back <= ring->window; back++) {
        const Cell *before = ring->cells + (ring->row + ring->rows - back) % ring->rows * ring->columns + column;
        below += before->count && before->rms > 0 && rms > ring->factor * before->rms;
    }
    return 2 * below > ring->window;
}

/* See actviz_tb.native. Fills the cell of a column in the ring's row; returns 1 where values are not finite, plus 2 where the RMS jumps. */
int actviz_glance(const float *values, int64_t count, const Ring *ring, int64_t column) {
    Glance parts[MAX_PARTS];
    int shares = parts_of(count, count, (int)ring->threads);
    for (int t = 0; t < shares; t++) {
        Glance part = {values, count * t / shares, count * (t + 1) / shares, 0, FLT_MAX, -FLT_MAX, 0, 0, 0};
        parts[t] = part;
    }
    run(glance_at_part, parts, sizeof(Glance), shares, (int)ring->threads);
    Glance whole = parts[0];
    for (int t = 1; t < shares; t++) {
        Glance *g = &parts[t];
        whole.squares += g->squares;
        whole.low = g->low < whole.low ? g->low : whole.low;
        whole.high = g->high > whole.high ? g->high : whole.high;
        whole.nan += g->nan, whole.posinf += g->posinf, whole.neginf += g->neginf;
    }
    int64_t nonfinite = whole.nan + whole.posinf + whole.neginf, finite = count - nonfinite;
    Cell *cell = ring->cells + ring->row * ring->columns + column;
    cell->count = count, cell->nan = whole.nan, cell->posinf = whole.posinf, cell->neginf = whole.neginf;
    cell->rms = finite ? sqrt(whole.squares / finite) : 0;
    cell->low = finite ? whole.low : NAN, cell->high = finite ? whole.high : NAN;
    return (nonfinite > 0) + (jumps(ring, column, cell->rms) ? 2 : 0);
}
