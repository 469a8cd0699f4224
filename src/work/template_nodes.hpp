// The parts of a template. For work/template*.cpp alone.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "work/jq.hpp"

namespace ballast::work {

enum class TemplateKind : unsigned char { text, hole, choice, list };

struct TemplateNode {
  TemplateKind kind = TemplateKind::text;
  std::string text;                        // as it is; of a list, its variable without the "$"
  std::optional<Jq> program;
  bool may_be_null = false;                // of a hole
  std::size_t at = 0;                      // byte offset of its {{
  std::vector<TemplateNode> inside, otherwise;
};

// Error: caller_invalid_request with the line and column.
Result<std::vector<TemplateNode>> template_nodes(std::string_view text);

}  // namespace ballast::work
