// Files copied with their checksums, made durable. Blocking; for command-line tools.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace ballast::app {

struct CopiedFile {
  std::string path;                          // relative, with '/'
  std::uint64_t bytes = 0;
  std::string sha256;                        // hex
  friend bool operator==(const CopiedFile&, const CopiedFile&) = default;
};

using Watch = std::function<void(std::uint64_t bytes)>;   // told of bytes as they pass

// The first `most` bytes of an open file, synced. `to` is new, its owner's alone. Returns bytes and checksum.
Result<CopiedFile> copy_open_file(int fd, const std::filesystem::path& to, std::uint64_t most, const Watch& watch);
Result<CopiedFile> copy_file(const std::filesystem::path& from, const std::filesystem::path& to, const Watch& watch, std::uint64_t most = UINT64_MAX);
// Bytes and checksum of what is there, synced.
Result<CopiedFile> look_at_file(const std::filesystem::path& path, const Watch& watch);
// Its parent's, too: after renames and new files.
Result<void> sync_folder(const std::filesystem::path& folder);
Result<void> write_file(const std::filesystem::path& path, std::string_view text);
Result<void> make_own_folder(const std::filesystem::path& folder);        // 0700
Result<void> move_file(const std::filesystem::path& from, const std::filesystem::path& to);
// Every regular file under `folder`, relative, sorted; `skip` is asked of files and folders.
std::vector<std::string> files_under(const std::filesystem::path& folder, const std::function<bool(const std::filesystem::path& relative)>& skip);

// Holds open every file of a folder from the first look on: whoever deletes one meanwhile takes only its name.
class HeldFiles {
 public:
  explicit HeldFiles(std::filesystem::path folder) : folder_(std::move(folder)) { look(); }
  ~HeldFiles();
  HeldFiles(const HeldFiles&) = delete;
  HeldFiles& operator=(const HeldFiles&) = delete;
  void look();                               // holds those that are new, too
  const std::map<std::string, int>& files() const { return files_; }      // name → descriptor

 private:
  const std::filesystem::path folder_;
  std::map<std::string, int> files_;
};

}  // namespace ballast::app
