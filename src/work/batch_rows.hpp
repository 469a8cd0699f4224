// The rows of batches and of their lines. Repositories take a `Tx&`, never begin one.
#pragma once
#include <span>

#include "store/database.hpp"
#include "work/batch.hpp"

namespace ballast::work {

Result<void> insert_batch(store::Tx& tx, const Batch& batch);
Result<void> update_batch(store::Tx& tx, const Batch& batch);
// Whether it stands so; then it does until this transaction ends, whoever else would change it.
Result<bool> lock_batch(store::Tx& tx, JobId id, BatchState state);
Result<std::optional<Batch>> get_batch(store::Tx& tx, JobId id);
// Newest first; after zero: from the newest.
Result<std::vector<Batch>> list_batches(store::Tx& tx, std::string_view owner, JobId after, std::size_t limit);
// Those that are not over, oldest first.
Result<std::vector<Batch>> live_batches(store::Tx& tx);

// A line of a batch and the job that is made of it.
struct LineRow {
  std::uint64_t line = 0;                    // of the file, from 1
  std::string custom_id;
  JobId job;
  bool made = false;                         // the job is there
};
Result<void> insert_lines(store::Tx& tx, JobId batch, std::span<const LineRow> lines);
// In order of the file, those after `line`.
Result<std::vector<LineRow>> list_lines(store::Tx& tx, JobId batch, std::uint64_t line, std::size_t limit);
Result<void> delete_lines(store::Tx& tx, JobId batch);
// Of what became of its lines so far.
struct LineCounts {
  std::uint64_t total = 0, completed = 0, failed = 0;    // failed: dead or cancelled
  std::uint64_t missing = 0;                 // without a job: not made yet, or removed
};
Result<LineCounts> count_lines(store::Tx& tx, JobId batch);

// Batches that are over since before `ended_before`.
Result<std::uint64_t> sweep_batches(store::Tx& tx, WallTime ended_before, std::size_t limit);

}  // namespace ballast::work
