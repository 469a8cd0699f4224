#include "classify/kernels.hpp"

namespace ballast::classify {

namespace {

#define BALLAST_INLINE [[gnu::always_inline]] inline
#define BALLAST_AVX2 [[gnu::target("avx2")]]

const bool kWide = __builtin_cpu_supports("avx2");

template <class W>
BALLAST_INLINE void add_rows_body(std::span<const std::uint32_t> rows, std::span<const float> values, const W* weights, std::size_t stride,
                                  float* __restrict sums) {
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const W* row = weights + rows[k] * stride;
    const float value = values[k];
    for (std::size_t c = 0; c < stride; ++c) sums[c] += value * static_cast<float>(row[c]);
  }
}

BALLAST_INLINE void move_rows_body(std::span<const std::uint32_t> rows, std::span<const float> values, float* weights, std::size_t stride,
                                   const float* __restrict moves) {
  for (std::size_t k = 0; k < rows.size(); ++k) {
    float* __restrict row = weights + rows[k] * stride;
    const float value = values[k];
    for (std::size_t c = 0; c < stride; ++c) row[c] += value * moves[c];
  }
}

BALLAST_INLINE void step_body(const float* __restrict sums, float* __restrict alpha, float* __restrict moves, std::size_t stride, float slack, float norm) {
  const float scale = 1.0f / (norm + slack);
  for (std::size_t c = 0; c < stride; ++c) {
    const float gradient = slack * alpha[c] - sums[c] - 1.0f;
    const float wanted = alpha[c] - gradient * scale;
    const float next = wanted > 0.0f ? wanted : 0.0f;
    moves[c] = alpha[c] - next;
    alpha[c] = next;
  }
}

using Rows = std::span<const std::uint32_t>;
using Values = std::span<const float>;

BALLAST_AVX2 void add_wide(Rows rows, Values values, const float* weights, std::size_t stride, float* sums) {
  add_rows_body(rows, values, weights, stride, sums);
}
BALLAST_AVX2 void add_wide(Rows rows, Values values, const std::int8_t* weights, std::size_t stride, float* sums) {
  add_rows_body(rows, values, weights, stride, sums);
}
BALLAST_AVX2 void move_wide(Rows rows, Values values, float* weights, std::size_t stride, const float* moves) {
  move_rows_body(rows, values, weights, stride, moves);
}
BALLAST_AVX2 void step_wide(const float* sums, float* alpha, float* moves, std::size_t stride, float slack, float norm) {
  step_body(sums, alpha, moves, stride, slack, norm);
}

}  // namespace

void add_rows(Rows rows, Values values, const float* weights, std::size_t stride, float* sums) {
  kWide ? add_wide(rows, values, weights, stride, sums) : add_rows_body(rows, values, weights, stride, sums);
}
void add_rows(Rows rows, Values values, const std::int8_t* weights, std::size_t stride, float* sums) {
  kWide ? add_wide(rows, values, weights, stride, sums) : add_rows_body(rows, values, weights, stride, sums);
}
void move_rows(Rows rows, Values values, float* weights, std::size_t stride, const float* moves) {
  kWide ? move_wide(rows, values, weights, stride, moves) : move_rows_body(rows, values, weights, stride, moves);
}
void step_against(const float* sums, float* alpha, float* moves, std::size_t stride, float slack, float norm) {
  kWide ? step_wide(sums, alpha, moves, stride, slack, norm) : step_body(sums, alpha, moves, stride, slack, norm);
}

}  // namespace ballast::classify
