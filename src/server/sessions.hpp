// Sessions: who is signed in to the dashboard, in memory. A session stands for the key that made it, and for the secret that the key had then:
// a key that is revoked, has expired or was given another secret has no sessions any more.
//
// The token is in the browser's cookie and nowhere else; here and in the table (records/sessions) are its digest and a proof. The CSRF token is
// made of the token, so it need not be kept.
// Thread-safe. Bounded: `most` in all, `most_of_a_key` of each key, whose longest unused one makes way.
#pragma once
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "gateway/keys.hpp"
#include "records/sessions.hpp"

namespace ballast::net {
class Exchange;
}

namespace ballast::server {

struct Parts;

// By TLS a browser keeps the second name to this host alone, so that no neighbour under its domain and no clear connection puts one there.
inline constexpr std::string_view kSessionCookie = "ballast_session", kSecureSessionCookie = "__Host-ballast_session", kCsrfHeader = "x-ballast-csrf";

inline constexpr std::size_t kBeyondGuessing = 32;

class Sessions {
 public:
  struct Options {
    Duration idle = std::chrono::hours(12);         // unused for so long, it ends
    Duration life = std::chrono::hours(24 * 7);     // and then whatever was done with it
    std::size_t most = 10'000, most_of_a_key = 100;
    std::size_t failures = 20;                      // of signing in, a minute and address; ten times as many in all
    std::size_t asked_a_second = 20;                // for tokens that are not known here
  };
  Sessions(const gateway::KeyRing& keys, Options options) : keys_(keys), options_(options) {}
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  struct Opened {
    std::string token;                               // leaves once, in the cookie
    records::SessionRow row;
  };
  // For whom `secret` has just authenticated. Not in force before `put`.
  Opened make(const gateway::KeyInfo& key, std::string_view secret, WallTime now) const;
  // internal_unavailable above `most`.
  Result<void> put(const records::SessionRow& row);

  struct Held {
    gateway::Principal who;
    WallTime expires{};                              // if nothing more is done
    Digest digest{};
  };
  // caller_unauthenticated: there is no such session any more. A use unless `looking`.
  Result<Held> find(std::string_view token, WallTime now, bool looking = false);
  bool knows(std::string_view token) const;
  void drop(const Digest& digest);
  // May the database be asked for a token that is not known here? What another node has made is.
  bool may_ask(WallTime now);
  // By one thread: `look` before the database is asked for all there are, `follow` with what it said. What was put or dropped here meanwhile
  // stays so, whatever it said.
  void look();
  void follow(const std::vector<records::SessionRow>& rows);
  // Used since this was asked before, and when: for a batch to the database.
  std::vector<records::SessionUse> take_uses();
  std::size_t size() const;
  const Options& options() const { return options_; }

  // Signing in: no more failures than allowed came from this address in the last minute. The error says when to try again.
  // Not for who has a key of kBeyondGuessing bytes or more: others must not keep him out, and nobody finds one by trying.
  Result<void> may_try(std::string_view address, WallTime now);
  void failed(std::string_view address, WallTime now);

 private:
  struct Entry {
    records::SessionRow row;
    bool used = false;
    bool fresh = false;                              // put since the last look began
  };
  struct DigestHash {
    std::size_t operator()(const Digest& d) const;
  };
  struct Minute {
    std::int64_t number = 0;
    std::size_t count = 0;
  };
  WallTime end_of(const records::SessionRow& row) const;

  const gateway::KeyRing& keys_;
  const Options options_;
  mutable std::mutex mutex_;
  std::unordered_map<Digest, Entry, DigestHash> entries_;
  std::unordered_set<Digest, DigestHash> dropped_;   // while a look is under way
  bool looking_ = false;
  std::map<std::string, Minute, std::less<>> failures_;   // of this minute, by address; "" is all together
  std::int64_t asked_second_ = 0;
  std::size_t asked_ = 0;
};

// What a page sends with all that changes something.
std::string csrf_of(std::string_view token);
// Of a Cookie header's value that came by TLS, or in clear; empty: none, or one that cannot be ours.
std::string_view session_token_in(std::string_view cookies, bool secure);
// Who was let in to something that takes long, a feed or an export: may he still? Looking on does not keep his session alive.
bool may_still(net::Exchange& exchange, const Parts& parts, gateway::Scope scope);
// "192.0.2.7" of "192.0.2.7:5000"; of an IPv6 address the network (/64) that one household has.
std::string address_of(std::string_view peer);

}  // namespace ballast::server
