#include "app/backup.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "app/cli.hpp"
#include "base/log.hpp"
#include "cluster/members.hpp"
#include "records/audit.hpp"
#include "records/audit_anchors.hpp"
#include "records/migrations.hpp"
#include "watch/rows.hpp"
#include "work/job_rows.hpp"

namespace ballast::app {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kSegment = ".jnl";
constexpr std::uint64_t kTailKept = 128u << 10;          // of the zeros behind the last frame

// Room that no frame uses yet is not copied: the bytes up to the last that is not zero, and some more.
std::uint64_t used_bytes(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return UINT64_MAX;
  std::string piece(kTailKept, '\0');
  auto at = static_cast<std::uint64_t>(st.st_size);
  while (at > 0) {
    const std::uint64_t from = at > piece.size() ? at - piece.size() : 0;
    const ssize_t n = ::pread(fd, piece.data(), at - from, static_cast<off_t>(from));
    if (n < 0) return UINT64_MAX;
    if (std::ranges::any_of(std::string_view(piece.data(), static_cast<std::size_t>(n)), [](char c) { return c != 0; })) break;
    at = from;
  }
  return at + kTailKept;
}

class Making {
 public:
  Making(const Config& config, fs::path to, const Told& told)
      : data_(config.data_dir), url_(config.database), partial_(std::move(to)), told_(told), journal_(data_ / "journal") {}

  Result<BackupManifest> make() {
    manifest_.version = kVersion;
    manifest_.database = url_.starts_with("sqlite:") ? "sqlite" : "postgres";
    manifest_.made = to_rfc3339(SystemClock().wall());
    for (const auto step : {&Making::copy_database, &Making::copy_journal, &Making::copy_the_rest})
      if (auto done = (this->*step)(); !done) return fail(std::move(done.error()));
    return std::move(manifest_);
  }

 private:
  Result<fs::path> place(const fs::path& relative) const {
    const fs::path to = partial_ / relative;
    if (auto made = make_own_folder(to.parent_path()); !made) return fail(std::move(made.error()));
    return to;
  }
  Watch watch(std::string_view what) {
    return [this, what, seen = std::uint64_t{0}](std::uint64_t bytes) mutable { told_(what, seen += bytes, 0); };
  }
  Result<void> keep(Result<CopiedFile> copied, std::string path) {
    if (!copied) return fail(std::move(copied.error()));
    copied->path = std::move(path);
    manifest_.files.push_back(std::move(*copied));
    return {};
  }

  Result<void> copy_database() {
    const auto known = all_migrations();
    auto snapshot = store::take_snapshot(url_, known);
    if (!snapshot) return fail(std::move(snapshot.error()));
    auto steps = (*snapshot)->run("SELECT module, version, checksum FROM schema_migrations ORDER BY module, version");
    if (!steps) return fail(std::move(steps.error()));
    for (const store::Row r : *steps) manifest_.schema.push_back({r.string(0), r.string(2), r.integer(1)});
    const auto folder = place("database/x");
    if (!folder) return fail(folder.error());
    auto files = (*snapshot)->write(folder->parent_path(), manifest_.tables, [this](std::uint64_t done, std::uint64_t all) {
      journal_.look();
      told_("database", done, all);
    });
    if (!files) return fail(std::move(files.error()));
    journal_.look();
    for (const auto& name : *files)
      if (auto kept = keep(look_at_file(folder->parent_path() / name, watch("checksums")), "database/" + name); !kept) return kept;
    return copy_anchors(**snapshot);
  }

  // Each file as far as the snapshot knows of it: what was anchored later tells of entries that the snapshot lacks.
  Result<void> copy_anchors(store::Snapshot& snapshot) {
    if (std::ranges::find(manifest_.tables, "audit_anchors", &store::TableCopy::name) == manifest_.tables.end()) return {};
    auto rows = snapshot.run("SELECT node, number FROM audit_anchors ORDER BY node");
    if (!rows) return fail(std::move(rows.error()));
    for (const store::Row r : *rows) {
      const fs::path from = records::anchors_file((data_ / "audit").string(), r.string(0));
      if (!fs::exists(from)) continue;                   // another node's
      auto reader = records::AnchorReader::open(from.string());
      if (!reader) return fail(std::move(reader.error()));
      for (;;) {
        const auto anchor = (*reader)->next();
        if (!anchor) return fail(anchor.error());
        if (!*anchor || (**anchor).number >= r.integer(1)) break;
      }
      const std::string path = "data/audit/" + from.filename().string();
      const auto to = place(path);
      if (!to) return fail(to.error());
      if (auto kept = keep(copy_file(from, *to, watch("anchors"), (*reader)->end()), path); !kept) return kept;
    }
    return {};
  }

  Result<void> copy_journal() {
    for (const auto& [name, fd] : journal_.files()) {
      if (name == "lock") continue;
      const std::string path = "data/journal/" + name;
      const auto to = place(path);
      if (!to) return fail(to.error());
      if (auto kept = keep(copy_open_file(fd, *to, name.ends_with(kSegment) ? used_bytes(fd) : UINT64_MAX, watch("journal")), path); !kept) return kept;
    }
    return {};
  }

  Result<void> copy_the_rest() {
    const fs::path database = url_.starts_with("sqlite:") ? fs::weakly_canonical(url_.substr(7)) : fs::path();
    const fs::path base = fs::weakly_canonical(data_);
    const auto skip = [&](const fs::path& relative) {
      const std::string first = relative.begin()->string();
      if (first == "audit" || first == kRestoreMark || first.starts_with(".before-restore") || first.starts_with(".restore")) return true;
      if (relative.parent_path() == "journal") return fs::is_regular_file(base / relative);          // held and copied already
      return !database.empty() && (base / relative).string().starts_with(database.string());     // and its -wal, -shm, -checkpointer
    };
    for (const std::string& name : files_under(base, skip)) {
      const auto to = place("data/" + name);
      if (!to) return fail(to.error());
      auto copied = copy_file(base / name, *to, watch("files"));
      if (!copied && !fs::exists(base / name)) continue;                 // gone meanwhile
      if (auto kept = keep(std::move(copied), "data/" + name); !kept) return kept;
    }
    return {};
  }

  const fs::path data_;
  const std::string url_;
  const fs::path partial_;
  const Told& told_;
  HeldFiles journal_;
  BackupManifest manifest_;
};

bool lies_within(const fs::path& inner, const fs::path& outer) {
  const fs::path relative = fs::weakly_canonical(inner).lexically_relative(fs::weakly_canonical(outer));
  return !relative.empty() && *relative.begin() != "..";
}

// The trail tells that a backup was made, and of which manifest. The backup itself cannot have the entry.
void tell_trail(const Config& config, const BackupManifest& manifest) {
  auto database = store::open_database(config.database);
  Digest digest{};
  if (const auto raw = from_hex(manifest.sha256); raw && raw->size() == digest.size()) std::copy_n(raw->begin(), digest.size(), reinterpret_cast<char*>(digest.data()));
  const records::AuditEntry entry{.actor = "command line", .action = std::string(records::audit::backup_made), .subject = "backup", .arguments = digest,
                                  .outcome = to_json(json::object{{"files", manifest.files.size()}, {"made", manifest.made}}), .at = {}};
  Result<void> told = database ? (*database)->write_now([&](store::Tx& tx) -> Result<void> {
    auto head = records::append_audit(tx, records::admin_chain("0"), std::span(&entry, 1), SystemClock().wall());
    return head ? Result<void>{} : std::unexpected(head.error());
  }) : std::unexpected(database.error());
  if (!told) complain(fmt::format("the backup is made, but the audit trail could not be told: {}", told.error().message));
}

}  // namespace

std::vector<store::Migration> all_migrations() {
  std::vector<store::Migration> out(records::migrations().begin(), records::migrations().end());
  out.insert(out.end(), work::migrations().begin(), work::migrations().end());
  out.insert(out.end(), cluster::migrations().begin(), cluster::migrations().end());
  out.insert(out.end(), watch::migrations().begin(), watch::migrations().end());
  return out;
}

Result<BackupManifest> make_backup(const Config& config, const std::string& to, const Told& told) {
  const fs::path target = to, partial = to + ".partial";
  std::error_code ignored;
  if (fs::exists(target) && !(fs::is_directory(target) && fs::is_empty(target)))
    return fail(ErrorCode::caller_conflict, fmt::format("{} is there already: name a folder that does not exist, or is empty", to), "--to");
  if (lies_within(target, config.data_dir)) return fail(ErrorCode::caller_invalid_request, "must lie outside the data folder, which is what is copied", "--to");
  fs::remove_all(partial, ignored);                      // of a backup that was interrupted
  if (auto made = make_own_folder(partial); !made) return fail(std::move(made.error()));
  auto finish = [&]() -> Result<BackupManifest> {
    auto manifest = Making(config, partial, told).make();
    if (!manifest) return manifest;
    const std::string text = to_json(manifest_json(*manifest)) + "\n";
    manifest->sha256 = to_hex(sha256(text));
    if (auto written = write_file(partial / "manifest.json", text); !written) return fail(std::move(written.error()));
    for (const auto& entry : fs::recursive_directory_iterator(partial))
      if (entry.is_directory())
        if (auto synced = sync_folder(entry.path()); !synced) return fail(std::move(synced.error()));
    fs::remove(target, ignored);                         // the empty folder
    if (auto moved = move_file(partial, target); !moved) return fail(std::move(moved.error()));
    if (auto synced = sync_folder(target); !synced) return fail(std::move(synced.error()));
    return manifest;
  };
  auto made = finish();
  if (!made) fs::remove_all(partial, ignored);
  else tell_trail(config, *made);
  return made;
}

}  // namespace ballast::app
