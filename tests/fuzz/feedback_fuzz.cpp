// The body of a verdict: refused with the member's name, or within every limit, and about one thing.
#include <cstdint>
#include <string_view>

#include "gateway/principal.hpp"
#include "require.hpp"
#include "server/feedback_body.hpp"

using namespace ballast;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto said = server::read_said({reinterpret_cast<const char*>(data), size});
  if (!said) {
    require(said.error().code == ErrorCode::caller_invalid_request || said.error().code == ErrorCode::caller_too_large);
    return 0;
  }
  const auto& f = said->feedback;
  require(said->call.has_value() != (said->job.value != 0));
  require(!f.score || (*f.score >= 0 && *f.score <= 1));
  require(f.comment.size() <= records::kMaxComment && f.user.size() <= gateway::kMaxAttribution);
  require(said->named || f.user.empty());
  return 0;
}
