// The inner loops of training and of answering, private to the room: sums of rows of weights, one weight for each label. By AVX2 where
// the CPU has it, chosen at run time; the results are the same bits either way (no fused operations, one order of addition).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace ballast::classify {

// Rows are padded with zeros to a multiple of this many labels.
inline constexpr std::size_t kLanes = 8;
constexpr std::size_t stride_of(std::size_t labels) { return (labels + kLanes - 1) / kLanes * kLanes; }

// sums[c] += Σ values[k] · weights[rows[k]][c], for stride labels.
void add_rows(std::span<const std::uint32_t> rows, std::span<const float> values, const float* weights, std::size_t stride, float* sums);
void add_rows(std::span<const std::uint32_t> rows, std::span<const float> values, const std::int8_t* weights, std::size_t stride, float* sums);
// weights[rows[k]][c] += values[k] · moves[c].
void move_rows(std::span<const std::uint32_t> rows, std::span<const float> values, float* weights, std::size_t stride, const float* moves);
// One step of dual coordinate descent for an example that belongs to none of the labels: each alpha[c] goes where its machine's dual is best,
// and moves[c] is what that adds to the machine's weights. `slack` is 1/(2C), `norm` the example's squared length with its bias.
void step_against(const float* sums, float* alpha, float* moves, std::size_t stride, float slack, float norm);

}  // namespace ballast::classify
