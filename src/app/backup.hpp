// Backup and restore of an installation: its database as it was at one moment, and of its data folder what belongs to that moment.
//
// In a backup: manifest.json, database/… (store/backup.hpp), data/… (the journal's files, the trail's anchors, the key of approval links, and
// whatever else lies in the data folder). The manifest has every file's checksum and every table's rows. A backup holds all that the
// database holds, and the key that signs approval links: it is its owner's alone, and to be kept so.
//
// What makes it one moment: the files of the journal are held open before the database's snapshot is taken and copied after it, so that no call
// is in neither; the anchors are copied as far as that snapshot knows of them, so that the trail and its anchors agree.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.hpp"
#include "app/file_copies.hpp"
#include "base/json.hpp"
#include "store/backup.hpp"

namespace ballast::app {

struct BackupManifest {
  std::string version;                       // of the program that made it
  std::string made;                          // RFC 3339
  std::string database;                      // "sqlite" or "postgres"
  struct Step { std::string module, checksum; std::int64_t version = 0; };
  std::vector<Step> schema;
  std::vector<store::TableCopy> tables;
  std::vector<CopiedFile> files;
  std::string sha256;                        // of manifest.json itself, hex
};
json::object manifest_json(const BackupManifest& manifest);
// caller_invalid_request (field "--from"): it is none, of a form this program does not know, or names a file outside its folder.
Result<BackupManifest> read_manifest(const std::string& folder);

// How far it is, for people: what is being done, and bytes or rows of all; `all` may be 0, or below `done` where it can only be guessed.
using Told = std::function<void(std::string_view what, std::uint64_t done, std::uint64_t all)>;

// Beside a running server, or without one. `to` must not exist, or be an empty folder; it comes into being whole.
Result<BackupManifest> make_backup(const Config& config, const std::string& to, const Told& told);

struct Restored {
  BackupManifest manifest;
  std::string kept;                          // where what was there before is now; empty: nothing was
};
// No server may use the data folder. Everything is checked before anything is touched: checksums, the schema (one newer than this program's is
// refused), that there is nothing to overwrite unless `force`. What is put in place half is marked (`kRestoreMark`): no server starts on it, and
// restoring again mends it.
Result<Restored> restore_backup(const Config& config, const std::string& from, bool force, const Told& told);

inline constexpr std::string_view kRestoreMark = "restore.pending";     // in the data folder
// internal_unavailable if a restore into this data folder was interrupted.
Result<void> refuse_half_restored(const std::string& data_dir);

// The whole schema of this program.
std::vector<store::Migration> all_migrations();

}  // namespace ballast::app
