// What `log::redact` hides, for who wants to know whether there was anything: a text without a credential is not copied.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace ballast::log {

// As `redact`; nothing where nothing was replaced. One pass, linear in the text whatever it is.
std::optional<std::string> redacted(std::string_view text);

}  // namespace ballast::log
