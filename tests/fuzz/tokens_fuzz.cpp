// Texts, in both encodings: what is UTF-8 comes back from its ids, counting is encoding without the ids, with a limit too, and a text that grows,
// cut where its own bytes say, counts at each cut what it counts as a whole.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/text.hpp"
#include "require.hpp"
#include "tokens/counter.hpp"

using namespace ballast;
using namespace ballast::tokens;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 13) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto* encoding : {&Encoding::o200k_base(), &Encoding::cl100k_base()}) {
    std::vector<std::uint32_t> ids;
    encoding->encode(text, ids);
    const auto back = encoding->decode(ids);
    require(back.has_value() && is_utf8(*back) && (*back == text) == is_utf8(text));
    require(encoding->count(text) == ids.size() && encoding->count(*back) == ids.size());
    require(encoding->count_until(text, ids.size()) == ids.size());
    require(ids.empty() || !encoding->count_until(text, ids.size() - 1));
    Counter counter(*encoding);
    for (std::size_t at = 0; at < size;) {
      const auto n = std::min<std::size_t>(size - at, 1 + data[at] * (1 + size / 512));
      counter.append(text.substr(at, n));
      at += n;
      require(counter.count() == encoding->count(text.substr(0, at)));
    }
  }
  return 0;
}
