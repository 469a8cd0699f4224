#include "classify/solver.hpp"

#include <algorithm>
#include <cmath>

#include "classify/kernels.hpp"
#include "classify/report.hpp"

namespace ballast::classify {

namespace {

// What a violated margin costs, and how much more where it is that of the example's own label: one against all the others.
constexpr float kCost = 1.0f, kOwnCost = 3.0f;
constexpr float kNegligible = 1e-4f;         // a move too small to carry out
constexpr double kSettled = 0.01;            // of what moved in the first pass

}  // namespace

Solver::Solver(const Design& design, std::vector<float> alphas, std::vector<std::uint32_t> members)
    : design_(design),
      stride_(stride_of(design.labels)),
      members_(std::move(members)),
      alphas_(std::move(alphas)),
      weights_(design.row_count * stride_),
      bias_(stride_),
      sums_(stride_),
      moves_(stride_) {
  for (const auto i : members_) {
    const float* alpha = alphas_.data() + i * stride_;
    for (std::size_t c = 0; c < stride_; ++c) moves_[c] = c == design.truth[i] ? alpha[c] : -alpha[c];
    move(i);
  }
}

void Solver::margins(std::size_t example, std::span<float> sums) const {
  std::ranges::copy(bias_, sums.begin());
  add_rows(design_.rows_of(example), design_.values_of(example), weights_.data(), stride_, sums.data());
}

// Carries `moves_` out. Of an example that only a few machines still learn from, those alone are touched.
void Solver::move(std::uint32_t example) {
  const auto rows = design_.rows_of(example);
  const auto values = design_.values_of(example);
  std::array<std::uint32_t, kLanes> some{};
  std::size_t moved = 0;
  for (std::uint32_t c = 0; c < stride_; ++c)
    if (moves_[c] != 0.0f) {
      if (moved < some.size()) some[moved] = c;
      ++moved;
    }
  if (moved == 0) return;
  for (std::size_t c = 0; c < stride_; ++c) bias_[c] += moves_[c];
  if (moved > some.size()) return move_rows(rows, values, weights_.data(), stride_, moves_.data());
  for (std::size_t k = 0; k < rows.size(); ++k)
    for (std::size_t m = 0; m < moved; ++m) weights_[rows[k] * stride_ + some[m]] += values[k] * moves_[some[m]];
}

// One example's step for every machine; how far it moved.
double Solver::visit(std::uint32_t example) {
  const std::uint32_t own = design_.truth[example];
  float norm = 1.0f;                         // the bias is a feature of value one
  for (const float v : design_.values_of(example)) norm += v * v;
  margins(example, sums_);
  float* alpha = alphas_.data() + example * stride_;
  const float before = own == kOutOfScope ? 0 : alpha[own];
  step_against(sums_.data(), alpha, moves_.data(), stride_, 0.5f / kCost, norm);
  if (own != kOutOfScope) {
    const float slack = 0.5f / (kCost * kOwnCost);
    alpha[own] = std::max(0.0f, before - (sums_[own] - 1.0f + slack * before) / (norm + slack));
    moves_[own] = alpha[own] - before;
  }
  double moved = 0;
  for (std::size_t c = 0; c < stride_; ++c) {
    if (c >= design_.labels) alpha[c] = moves_[c] = 0;
    if (std::abs(moves_[c]) < kNegligible) {
      alpha[c] += c == own ? -moves_[c] : moves_[c];
      moves_[c] = 0;
    }
    moved += static_cast<double>(std::abs(moves_[c]));
  }
  move(example);
  return moved;
}

void Solver::run(unsigned passes, Random& random) {
  double first = 0;
  for (unsigned pass = 0; pass < passes; ++pass) {
    for (std::size_t i = members_.size(); i > 1; --i) std::swap(members_[i - 1], members_[random.below(i)]);
    double moved = 0;
    for (const auto example : members_) moved += visit(example);
    if (pass == 0) first = moved;
    else if (moved < first * kSettled) return;
  }
}

}  // namespace ballast::classify
