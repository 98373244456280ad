/* Linear layers over 8 bits: y = (x w) + bias with weights as bytes with a scale for each output, and x as bytes with a
   scale for each row, found on the way. Whole sums; on processors with AVX-512 and its products of four bytes. */
#ifndef LINEAR8_H
#define LINEAR8_H

struct linear8 {
    struct share share;
    int64_t size, outputs; /* I, O */
    const float *x;        /* (N, I) */
    const int8_t *weight;  /* in panels of COLUMNS outputs: (O / 64, I / 4, 64, 4), zeros beyond O and I */
    const int32_t *start;  /* (O up to whole panels) -128 times the sum of an output's weights: see below */
    const float *scale, *bias; /* the same */
    float *y;              /* (N, O) */
    uint8_t *narrow;       /* for each part, CHUNK rows of I up to fours */
    float slope;           /* what numbers below zero are multiplied by; 1 leaves all as they are */
};

EXPORT int64_t multiplies_bytes(void)
{
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
    return 1;
#else
    return 0;
#endif
}

#define COLUMNS 64
#define CHUNK 96 /* rows narrowed and multiplied at a time, in the second-level cache with GROUP bytes of weights */
#define GROUP (1 << 18)
#define TALL 6

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)

/* Row x as unsigned bytes with their zero at 128, as the processor's products want one side; what one is worth: nan
   where a number of the row is. */
INLINE float narrow_row(const float *x, int64_t size, int64_t padded, uint8_t *to)
{
    Vector most = splat(0);
    __mmask16 none = 0; /* no number in this lane: the greatest passes over it, and as a byte it would be a zero */
    for (int64_t k = 0; k < size; k += LANES) {
        __m512 some = (__m512)load_some(x + k, size - k);
        most = (Vector)_mm512_max_ps((__m512)most, _mm512_abs_ps(some));
        none |= _mm512_cmp_ps_mask(some, some, _CMP_UNORD_Q);
    }
    float top = highest(most);
    top = top > 1e-30f ? top : 1e-30f;
    for (int64_t k = 0; k < padded; k += LANES) {
        __mmask16 some = padded - k >= LANES ? 0xffff : (__mmask16)((1u << (padded - k)) - 1);
        __m512i whole = _mm512_cvtps_epi32((__m512)(load_some(x + k, size - k) * (127 / top)));
        _mm512_mask_cvtepi32_storeu_epi8(to + k, some, _mm512_add_epi32(whole, _mm512_set1_epi32(128)));
    }
    return none ? NAN : top / 127;
}

/* In place, as add_product() of vectors.h. */
INLINE __m512i add_products_of_four(__m512i sum, __m512i x, __m512i weight)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(weight));
    return sum;
}

/* `rows` rows by COLUMNS outputs, of which `left` exist. */
INLINE void tile8(int rows, const struct linear8 *a, const uint8_t *x, const float *worth, int64_t column, float *y)
{
    int64_t fours = (a->size + 3) / 4, left = a->outputs - column;
    const int8_t *weight = a->weight + column * fours * 4;
    __m512i sum[TALL][4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        __m512i start = _mm512_loadu_si512(a->start + column + v * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            sum[r][v] = start;
    }
    for (int64_t k = 0; k < fours; k++) {
        __m512i some[4];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            some[v] = _mm512_loadu_si512(weight + (k * 4 + v) * 64);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            int32_t bytes;
            memcpy(&bytes, x + (r * fours + k) * 4, 4);
            __m512i four = _mm512_set1_epi32(bytes);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++)
                sum[r][v] = add_products_of_four(sum[r][v], four, some[v]);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        Vector scale = load(a->scale + column + v * LANES), bias = load(a->bias + column + v * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            Vector found = (Vector)_mm512_cvtepi32_ps(sum[r][v]) * scale * worth[r] + bias;
            found = (Vector)_mm512_mask_mul_ps((__m512)found, _mm512_cmp_ps_mask((__m512)found, _mm512_setzero_ps(), _CMP_LT_OQ),
                                               (__m512)found, _mm512_set1_ps(a->slope));
            store_some(y + r * a->outputs + v * LANES, found, left - v * LANES);
        }
    }
}

EXPORT void linear8(const struct linear8 *a)
{
    int64_t fours = (a->size + 3) / 4, panels = GROUP / (fours * 4 * COLUMNS);
    int64_t each = (panels < 1 ? 1 : panels) * COLUMNS, last = last_row(&a->share);
    uint8_t *narrow = a->narrow + a->share.part * CHUNK * fours * 4;
    float worth[CHUNK];
    for (int64_t first = first_row(&a->share); first < last; first += CHUNK) {
        int64_t rows = last - first < CHUNK ? last - first : CHUNK;
        for (int64_t r = 0; r < rows; r++)
            worth[r] = narrow_row(a->x + (first + r) * a->size, a->size, fours * 4, narrow + r * fours * 4);
        for (int64_t from = 0; from < a->outputs; from += each)
            for (int64_t r = 0; r < rows; r += TALL) {
                int64_t to = from + each < a->outputs ? from + each : a->outputs;
                const uint8_t *x = narrow + r * fours * 4;
                float *y = a->y + (first + r) * a->outputs;
                for (int64_t c = from; c < to; c += COLUMNS)
                    switch (rows - r) { /* the number known to the compiler, so that the sums stay in registers */
                    case 1: tile8(1, a, x, worth + r, c, y + c); break;
                    case 2: tile8(2, a, x, worth + r, c, y + c); break;
                    case 3: tile8(3, a, x, worth + r, c, y + c); break;
                    case 4: tile8(4, a, x, worth + r, c, y + c); break;
                    case 5: tile8(5, a, x, worth + r, c, y + c); break;
                    default: tile8(6, a, x, worth + r, c, y + c);
                    }
            }
    }
}

#else

EXPORT void linear8(const struct linear8 *a) { (void)a; }

#endif
#endif
