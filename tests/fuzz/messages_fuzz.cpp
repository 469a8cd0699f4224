// Recorded messages as they are packed, read back from a damaged disk: damage is noticed or harmless, nothing is read out of bounds, and what was packed comes back.
#include <cstdint>
#include <string>
#include <string_view>

#include "records/messages.hpp"
#include "require.hpp"

using namespace ballast;

namespace {

void read(std::string_view packed) {
  records::RecordedCall call{.request = "before", .reply = "before"};
  if (!records::unpack_messages(packed, call)) return require(call.request == "before" && call.reply == "before");
  require(call.request.size() + call.reply.size() <= 2 * records::kMaxRecordedSide);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  read(input);
  // The first byte says where the request ends and the reply begins, and later which byte is damaged.
  const std::size_t at = data[0] * size / 256;
  auto packed = records::pack_messages({.request = std::string(input.substr(0, at)), .reply = std::string(input.substr(at))});
  require(packed.has_value());
  require(packed->call.request.empty() && packed->call.reply.empty());
  records::RecordedCall back;
  require(records::unpack_messages(packed->packed, back).has_value());
  require(back.request == input.substr(0, at) && back.reply == input.substr(at));
  for (std::size_t i = 0; i + 1 < size && i < 8; i += 2) packed->packed[(data[i] * 256u + data[i + 1]) % packed->packed.size()] ^= static_cast<char>(data[i + 1] | 1);
  read(packed->packed);
  read(std::string_view(packed->packed).substr(0, packed->packed.size() - 1 - data[0] % packed->packed.size()));
  return 0;
}
