#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "net/url.hpp"
#include "server/usage_json.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string user, format = "jsonl", out, from, to;
  std::map<std::string, std::string> filters;
  bool calls = false;
};

std::string target_of(const Flags& f) {
  std::string out = f.calls ? "/api/calls/export?format=" + f.format : "/api/export/user?format=" + f.format + "&user=" + net::percent_encode(f.user);
  if (!f.calls) return out;
  const auto add = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) out += "&" + name + "=" + net::percent_encode(value);
  };
  for (const auto& [name, value] : f.filters) add(name, value);
  add("user", f.user);
  add("from", f.from);
  add("to", f.to);
  return out;
}

// Megabytes so far, on a terminal, once a second.
class Progress {
 public:
  explicit Progress(bool wanted) : wanted_(wanted && ::isatty(STDERR_FILENO) == 1) {}
  void add(std::size_t bytes) {
    bytes_ += bytes;
    const auto now = std::chrono::steady_clock::now();
    if (!wanted_ || now - told_ < std::chrono::seconds(1)) return;
    told_ = now;
    std::fprintf(stderr, "\r%.1f MB …", static_cast<double>(bytes_) / 1e6);
    shown_ = true;
  }
  ~Progress() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }

 private:
  const bool wanted_;
  bool shown_ = false;
  std::uint64_t bytes_ = 0;
  std::chrono::steady_clock::time_point told_ = std::chrono::steady_clock::now();
};

// Complete, or not there: written beside and renamed.
Result<std::uint64_t> fetch(Access& access, const Flags& f) {
  if (auto there = need_server(access); !there) return fail(std::move(there.error()));
  const bool to_file = !f.out.empty() && f.out != "-";
  const std::string part = f.out + ".part";
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file(to_file ? std::fopen(part.c_str(), "wbx") : nullptr);
  if (to_file && !file) return fail(ErrorCode::internal_unavailable, "cannot write " + part + " (or it is there already)");
  std::FILE* const into = to_file ? file.get() : stdout;
  Result<std::uint64_t> came;
  {
    Progress progress(to_file);
    came = access.download(target_of(f), [&](std::string_view piece) {
      progress.add(piece.size());
      return std::fwrite(piece.data(), 1, piece.size(), into) == piece.size();
    });
  }
  if (came && std::fflush(into) != 0) came = fail(ErrorCode::internal_unavailable, "what came could not be written");
  if (!to_file) return came;
  file.reset();
  if (came && std::rename(part.c_str(), f.out.c_str()) != 0) came = fail(ErrorCode::internal_unavailable, "cannot write " + f.out);
  if (!came) std::remove(part.c_str());
  return came;
}

int run_export(const Flags& f) {
  if (f.calls == false && f.user.empty()) {
    complain("say whose: --user NAME; or --calls");
    return kUsage;
  }
  int code = kFailed;
  auto access = Access::open(f.access, code);
  if (!access) {
    complain(access.error());
    return code;
  }
  const auto came = fetch(**access, f);
  if (!came) {
    complain(came.error());
    return kFailed;
  }
  if (!f.out.empty() && f.out != "-") std::fprintf(stderr, "%llu bytes in %s\n", static_cast<unsigned long long>(*came), f.out.c_str());
  return kOk;
}

}  // namespace

void add_export(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("export", "Everything that is kept of one user, or the calls of a search, as lines.");
  add_access_flags(*command, flags->access);
  command->add_option("--user", flags->user, "As jobs and calls name him.");
  command->add_flag("--calls", flags->calls, "Calls alone: all, or those of the filters.");
  command->add_option("--format", flags->format, "jsonl or csv.")->check(CLI::IsMember({"jsonl", "csv"}));
  command->add_option("--out", flags->out, "A file; absent: standard output.");
  command->add_option("--from", flags->from, "With --calls: from this time on.");
  command->add_option("--to", flags->to, "With --calls: before this time.");
  for (const auto& [name, value] : server::kCallFilters)
    if (name != "user" && name != "key") command->add_option("--" + std::string(name), flags->filters[std::string(name)], "With --calls: of this " + std::string(name) + ".");
  command->add_option("--of-key", flags->filters["key"], "With --calls: of this key's id.");
  command->callback([&run, flags] { run = [flags] { return run_export(*flags); }; });
}

}  // namespace ballast::app
