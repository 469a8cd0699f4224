#include "app/file_copies.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/hash.hpp"

namespace ballast::app {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPiece = 1u << 20;

Error trouble(const fs::path& path, int number) {
  return Error{ErrorCode::internal_unavailable, fmt::format("{}: {}", path.string(), std::strerror(number)), {}, false, {}, {}, {}, {}};
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// Reads `from` to its end or `most`, into `to` if there is one.
Result<CopiedFile> pass(int from, int to, const fs::path& path, std::uint64_t most, const Watch& watch) {
  std::string piece(kPiece, '\0');
  Sha256 hash;
  std::uint64_t at = 0;
  while (at < most) {
    const ssize_t n = ::pread(from, piece.data(), std::min<std::uint64_t>(piece.size(), most - at), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(trouble(path, errno));
    if (n == 0) break;
    hash.update({piece.data(), static_cast<std::size_t>(n)});
    for (ssize_t done = 0; to >= 0 && done < n;) {
      const ssize_t w = ::write(to, piece.data() + done, static_cast<std::size_t>(n - done));
      if (w < 0 && errno == EINTR) continue;
      if (w < 0) return fail(trouble(path, errno));
      done += w;
    }
    at += static_cast<std::uint64_t>(n);
    watch(static_cast<std::uint64_t>(n));
  }
  return CopiedFile{.path = {}, .bytes = at, .sha256 = to_hex(hash.finish())};
}

}  // namespace

Result<CopiedFile> copy_open_file(int fd, const fs::path& to, std::uint64_t most, const Watch& watch) {
  const Descriptor out{::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
  if (out.fd < 0) return fail(trouble(to, errno));
  auto copied = pass(fd, out.fd, to, most, watch);
  if (copied && ::fsync(out.fd) != 0) return fail(trouble(to, errno));
  return copied;
}

Result<CopiedFile> copy_file(const fs::path& from, const fs::path& to, const Watch& watch, std::uint64_t most) {
  const Descriptor in{::open(from.c_str(), O_RDONLY | O_CLOEXEC)};
  if (in.fd < 0) return fail(trouble(from, errno));
  return copy_open_file(in.fd, to, most, watch);
}

Result<CopiedFile> look_at_file(const fs::path& path, const Watch& watch) {
  const Descriptor in{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (in.fd < 0) return fail(trouble(path, errno));
  auto looked = pass(in.fd, -1, path, UINT64_MAX, watch);
  if (looked && ::fsync(in.fd) != 0) return fail(trouble(path, errno));
  return looked;
}

Result<void> sync_folder(const fs::path& folder) {
  for (const fs::path& one : {folder, fs::absolute(folder).parent_path()}) {
    const Descriptor d{::open(one.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (d.fd < 0 || ::fsync(d.fd) != 0) return fail(trouble(one, errno));
  }
  return {};
}

Result<void> write_file(const fs::path& path, std::string_view text) {
  const Descriptor out{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
  if (out.fd < 0) return fail(trouble(path, errno));
  if (::write(out.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(out.fd) != 0) return fail(trouble(path, errno));
  return {};
}

Result<void> make_own_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) fs::permissions(folder, fs::perms::owner_all, error);
  if (error) return fail(trouble(folder, error.value()));
  return {};
}

Result<void> move_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) return fail(trouble(to, error.value()));
  return {};
}

std::vector<std::string> files_under(const fs::path& folder, const std::function<bool(const fs::path&)>& skip) {
  std::vector<std::string> out;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(folder, error); !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const fs::path relative = at->path().lexically_relative(folder);
    if (skip(relative)) {
      at.disable_recursion_pending();
      continue;
    }
    if (at->is_regular_file(error)) out.push_back(relative.generic_string());
  }
  std::ranges::sort(out);
  return out;
}

HeldFiles::~HeldFiles() {
  for (const auto& [name, fd] : files_) ::close(fd);
}

void HeldFiles::look() {
  std::error_code error;
  for (auto at = fs::directory_iterator(folder_, error); !error && at != fs::directory_iterator(); at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (files_.contains(name) || !at->is_regular_file(error)) continue;
    if (const int fd = ::open(at->path().c_str(), O_RDONLY | O_CLOEXEC); fd >= 0) files_.emplace(name, fd);
  }
}

}  // namespace ballast::app
