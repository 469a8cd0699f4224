// Somebody else's database, read only: no migration, no write, no file made beside it, a bound on what a statement may touch and bring back.
//
// SQLite: the file is opened read only, with query_only, an untrusted schema and an authorizer: a statement that reads a table or column, or calls a
// function, that the gate does not name is refused when it is prepared. PostgreSQL: connections of its own, every transaction READ ONLY with
// statement_timeout; what may be touched is the role's rights (give it SELECT on what is asked about, and nothing else).
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "store/database.hpp"

namespace ballast::store {

// What a statement may touch. Names in lower case of ASCII; tables without their schema.
struct Gate {
  std::map<std::string, std::set<std::string, std::less<>>, std::less<>> tables;   // and their columns
  std::set<std::string, std::less<>> functions;
};

struct ForeignOptions {
  unsigned readers = 2;                          // threads, each with a connection
  std::size_t max_queued = 1'000;
  std::chrono::milliseconds connect_timeout{5'000};
  std::uint64_t max_bytes = 4u << 20;            // of a result; above it caller_too_large
  Gate gate;                                     // SQLite's
  const Clock* clock = nullptr;                  // null: the system's
};

// "sqlite:FILE" or "postgres://…". `write` and `write_now` of what it returns are refused. Nothing is opened before
// the first read, whose thread does it: a database that is not there is Fault::unavailable then, and looked for again by the next.
Result<std::unique_ptr<Database>> open_foreign(std::string_view url, ForeignOptions options);

}  // namespace ballast::store
