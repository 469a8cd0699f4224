// Training's inner work, private to the room: one squared-hinge machine for each label, all of them in one pass over the examples, by
// dual coordinate descent.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.hpp"

namespace ballast::classify {

// Examples as vectors, one after the other.
struct Design {
  std::vector<std::size_t> begin{0};          // of each example's entries, and the end of the last
  std::vector<std::uint32_t> rows;
  std::vector<float> values;
  std::span<const std::uint32_t> truth;       // label of each, or kOutOfScope: an example against all labels
  std::size_t row_count = 0, labels = 0;

  std::span<const std::uint32_t> rows_of(std::size_t i) const { return std::span(rows).subspan(begin[i], begin[i + 1] - begin[i]); }
  std::span<const float> values_of(std::size_t i) const { return std::span(values).subspan(begin[i], begin[i + 1] - begin[i]); }
};

class Solver {
 public:
  // `alphas`, examples × stride: where to begin; those of examples that do not take part are not used. Borrows `design`.
  Solver(const Design& design, std::vector<float> alphas, std::vector<std::uint32_t> members);
  // At most `passes` over the members, in an order drawn anew for each; fewer once hardly anything moves.
  void run(unsigned passes, Random& random);
  // sums has room for the stride.
  void margins(std::size_t example, std::span<float> sums) const;

  const std::vector<float>& weights() const { return weights_; }     // rows × stride
  const std::vector<float>& bias() const { return bias_; }
  std::vector<float> take_alphas() { return std::move(alphas_); }

 private:
  double visit(std::uint32_t example);
  void move(std::uint32_t example);

  const Design& design_;
  std::size_t stride_;
  std::vector<std::uint32_t> members_;
  std::vector<float> alphas_, weights_, bias_, sums_, moves_;
};

}  // namespace ballast::classify
