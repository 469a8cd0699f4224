// Runs a built statement on the dataset's database, which it can only read, and masks what comes back.
//
// Thread-safe: one Runner serves every loop; the database has threads of its own. Nothing is opened before the first question.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "query/builder.hpp"
#include "store/foreign.hpp"

namespace ballast::query {

// What a caller sees.
struct Answer {
  std::vector<OutputColumn> columns;
  json::array rows;                        // each an array, as wide as `columns`; null, true, numbers and texts
  bool truncated = false;                  // there are more rows than the dataset shows
  Duration took{};                         // in the database, waiting for it included
};

// Hides values. The key makes the same value the same hash, and nobody without it can try values out.
class Masker {
 public:
  explicit Masker(std::string key) : key_(std::move(key)) {}
  json::value apply(Mask mask, const json::value& value) const;

 private:
  const std::string key_;
};

class Runner {
 public:
  // `dataset` and `clock` outlive it. `readers`: connections.
  Runner(const Dataset& dataset, const Clock& clock, unsigned readers = 2);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  store::Dialect dialect() const;
  // Errors: internal_unavailable (not there, too busy, or longer than the dataset's timeout: `store::fault_of` tells them apart),
  // caller_too_large (above the limit of bytes), internal_error (the dataset does not fit the database, or the gate refused it).
  Task<Result<Answer>> run(Scheduler& loop, Statement statement);
  // The same, blocking: for tools and tests, never on an event loop.
  Result<Answer> run_now(const Statement& statement);

 private:
  Result<store::Database*> database();
  Answer answer_of(const Statement& statement, const store::Rows& rows, MonoTime began) const;
  store::ReadOptions limits() const;

  const Dataset& dataset_;
  const Clock& clock_;
  const unsigned readers_;
  const Masker masker_;
  std::mutex opening_;
  std::unique_ptr<store::Database> database_;
};

// What SQL built for this dataset may touch.
store::Gate gate_of(const Dataset& dataset);

}  // namespace ballast::query
