// "a/b/c", made where it stands: for looking up, without an allocation, what is kept under such names.
#pragma once
#include <string_view>

#include <fmt/format.h>

namespace ballast::llm {

class TableKey {
 public:
  template <class... More>
  explicit TableKey(std::string_view first, More... more) {
    text_.append(first);
    (add(more), ...);
  }
  operator std::string_view() const { return {text_.data(), text_.size()}; }

 private:
  void add(std::string_view part) {
    text_.push_back('/');
    text_.append(part);
  }
  fmt::basic_memory_buffer<char, 128> text_;
};

}  // namespace ballast::llm
