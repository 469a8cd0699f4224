// The header `tracestate`: what the systems along a trace tell each other of it, which we carry and never read. W3C Trace Context, section 3.3
// (https://www.w3.org/TR/trace-context/#tracestate-header).
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace ballast::trace {

// Section 3.3.1.5 asks for 512 characters to be passed on at least; we keep no more.
inline constexpr std::size_t kMostTracestate = 512, kMostTracestateMembers = 32;

// What is passed on of a header (several fields of this name joined by commas, in order): its members in their order, without blanks around them and
// without empty ones. Where they are too long together, members of more than 128 characters go first, then the last ones (3.3.1.5).
// Empty for a header that is not well-formed, names a key twice or has more than 32 members: it is dropped as a whole (3.3.1.1, 3.3.1.3).
// To be asked only beside a valid traceparent (3.3: otherwise it must not be looked at).
std::string read_tracestate(std::string_view header);

}  // namespace ballast::trace
