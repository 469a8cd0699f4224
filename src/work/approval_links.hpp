// Approval links: what is mailed to a person so that one question can be answered without a key of this server. Signed (HMAC-SHA-256) over the
// approval, the digest of what is shown, the user, what may be decided, the expiry and a nonce; single-use because the approval's row is. A
// link is a secret: it is told once, and in no log.
//
// Pure but for `load_link_key`. Thread-safe.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/hash.hpp"
#include "work/approval.hpp"

namespace ballast::work {

struct ApprovalLink {
  ApprovalId id;
  Digest shown{};                            // of what is asked
  std::string user;                          // who decides by it, without "user:"
  bool may_approve = true, may_reject = true;
  WallTime expires{};                        // to the second
  std::string nonce;                         // makes two links for one person differ
  friend bool operator==(const ApprovalLink&, const ApprovalLink&) = default;
};

class ApprovalLinks {
 public:
  explicit ApprovalLinks(std::string_view key) : key_(key) {}
  // Letters, digits, '-', '_' and one '.': safe in a path.
  std::string sign(const ApprovalLink& link) const;
  // caller_not_found: not signed by this key. caller_conflict: expired.
  Result<ApprovalLink> read(std::string_view token, WallTime now) const;

 private:
  Digest mac(std::string_view payload) const;
  HmacKey key_;
};

// Whoever holds a link decides as its user.
Decider link_decider(const ApprovalLink& link);
// May `maker` have a link made for `user`: an administrator for anyone who is asked, a person for themselves. caller_forbidden where the maker could
// answer in another's name, where a signature is wanted, or where `user` is not asked by name.
Result<void> may_link(const Approval& approval, const Decider& maker, std::string_view user);

// The key in this file, of mode 0600; made where there is none. Errors: internal_unavailable naming the file, also when others may read it.
Result<std::string> load_link_key(const std::string& file);

}  // namespace ballast::work
