#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "app/access.hpp"
#include "app/cli.hpp"
#include "app/progress.hpp"
#include "app/table.hpp"
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

// The filters of --calls, as a query goes on.
std::string search_of(const Flags& f) {
  std::string out;
  const auto add = [&](const std::string& name, const std::string& value) {
    if (!value.empty()) out += "&" + name + "=" + net::percent_encode(value);
  };
  for (const auto& [name, value] : f.filters) add(name, value);
  add("user", f.user);
  add("from", f.from);
  add("to", f.to);
  return out;
}

std::string target_of(const Flags& f) {
  return f.calls ? "/api/calls/export?format=" + f.format + search_of(f) : "/api/export/user?format=" + f.format + "&user=" + net::percent_encode(f.user);
}

// How many calls the search has, which is how many lines come. Asked only where somebody sees it; nothing: it is not known.
std::uint64_t calls_of(Access& access, const Flags& f) {
  if (!f.calls) return 0;
  const auto answer = access.call("GET", "/api/usage?limit=1" + search_of(f));
  const auto* rows = answer ? rows_of(*answer) : nullptr;
  const auto* row = rows && !rows->empty() ? rows->front().if_object() : nullptr;
  const auto* calls = row ? row->if_contains("calls") : nullptr;
  return calls && calls->is_number() ? static_cast<std::uint64_t>(std::clamp(calls->to_number<double>(), 0.0, 1e15)) : 0;
}

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
    Progress progress("exporting", f.access.json || (!to_file && answers_on_terminal()), f.calls ? Unit::things : Unit::bytes);
    const std::uint64_t all = progress.shown() ? calls_of(access, f) : 0;
    std::uint64_t done = 0;
    came = access.download(target_of(f), [&](std::string_view piece) {
      progress("exporting", done += f.calls ? static_cast<std::uint64_t>(std::ranges::count(piece, '\n')) : piece.size(), all);
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
