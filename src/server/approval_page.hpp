// The page behind an approval link: what is asked, as HTML without scripts or anything from elsewhere. Pure.
#pragma once
#include <string>
#include <string_view>

#include "net/http.hpp"
#include "work/approval_links.hpp"

namespace ballast::server {

// The question with its buttons. Empty: more than a page shows; it is answered in the inbox.
std::string question_page(const work::Approval& approval, const work::ApprovalLink& link);
// One thing to say, nothing to do.
std::string notice_page(std::string_view title, std::string_view text);
// Strict: no scripts, frames, referrers or copies; forms to this server alone; the one style sheet by its hash.
net::Headers page_headers();

// For text inside elements and attributes. Characters that would hide or turn round what is read are written as "\u{202E}".
std::string escape_html(std::string_view text);

}  // namespace ballast::server
