#include "work/flow_book.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "work/run_rows.hpp"

namespace ballast::work {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostFlows = 1'000;
constexpr std::size_t kKeptVersions = 1'000;             // in memory

Result<std::string> read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::caller_not_found, fmt::format("cannot read {}", path.string()));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A file that a flow names stays in the flows' own folder.
FileLookup files_of(const fs::path& folder) {
  return [folder](std::string_view name) -> Result<std::string> {
    const fs::path asked = fs::path(name).lexically_normal();
    if (asked.is_absolute() || asked.empty() || *asked.begin() == "..") return fail(ErrorCode::caller_invalid_request, fmt::format("{} lies outside the flows' folder", name));
    return read_file(folder / asked);
  };
}

}  // namespace

Result<FlowSet> load_flows(const std::string& folder, const EnvLookup& environment, FlowFindings& found, const FlowWorld& world) {
  FlowSet flows;
  std::vector<ConfigMistake>& mistakes = found.errors;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return flows;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_regular_file() && (entry.path().extension() == ".yaml" || entry.path().extension() == ".yml")) files.push_back(entry.path());
  if (error) return fail(ErrorCode::internal_unavailable, fmt::format("cannot read the folder {}: {}", folder, error.message()));
  if (files.size() > kMostFlows) return fail(ErrorCode::caller_invalid_request, fmt::format("{} holds {} flows; there may be {}", folder, files.size(), kMostFlows));
  std::ranges::sort(files);
  std::vector<FlowPtr> all;
  for (const auto& file : files) {
    const auto text = read_file(file);
    if (!text) return fail(text.error());
    auto flow = read_flow(*text, file.string(), environment, files_of(folder), &mistakes);
    if (!flow) continue;
    const auto [at, fresh] = flows.emplace((*flow)->name(), *flow);
    if (!fresh) mistakes.push_back({.file = file.string(), .line = 1, .column = 1, .field = "flow", .message = fmt::format("is \"{}\", as in {}", (*flow)->name(), at->second->source().file)});
    all.push_back(std::move(*flow));
  }
  auto proved = check_flows(all, world);
  std::ranges::move(proved.errors, std::back_inserter(mistakes));
  std::ranges::move(proved.warnings, std::back_inserter(found.warnings));
  std::ranges::move(proved.notes, std::back_inserter(found.notes));
  if (mistakes.empty()) return flows;
  std::string lines;
  for (const auto& m : mistakes) lines += (lines.empty() ? "" : "\n") + to_string(m);
  return fail(ErrorCode::caller_invalid_request, std::move(lines));
}

Result<void> FlowBook::put(store::Database& database, FlowSet flows, WallTime now) {
  auto kept = database.write_now([&](store::Tx& tx) -> Result<void> {
    for (const auto& [name, flow] : flows)
      if (auto put = put_flow(tx, *flow, now); !put) return put;
    return {};
  });
  if (!kept) return kept;
  const std::lock_guard hold(mutex_);
  for (const auto& [name, flow] : flows) versions_[to_hex(flow->digest())] = flow;
  current_ = std::move(flows);
  return {};
}

FlowPtr FlowBook::current(std::string_view name) const {
  const std::lock_guard hold(mutex_);
  const auto at = current_.find(name);
  return at == current_.end() ? nullptr : at->second;
}

std::vector<FlowPtr> FlowBook::all() const {
  const std::lock_guard hold(mutex_);
  std::vector<FlowPtr> out;
  for (const auto& [name, flow] : current_) out.push_back(flow);
  return out;
}

FlowPtr FlowBook::known(std::string_view digest) const {
  const std::lock_guard hold(mutex_);
  const auto at = versions_.find(digest);
  return at == versions_.end() ? nullptr : at->second;
}

Task<Result<FlowPtr>> FlowBook::version(Scheduler& loop, store::Database& database, std::string digest) {
  if (auto flow = known(digest)) co_return flow;
  const auto raw = from_hex(digest);
  Digest wanted{};
  if (!raw || raw->size() != wanted.size()) co_return fail(ErrorCode::caller_not_found, "the run names no version of its flow", "version");
  std::copy_n(raw->begin(), wanted.size(), reinterpret_cast<char*>(wanted.data()));
  auto source = co_await database.read(loop, [&](store::Tx& tx) { return find_flow(tx, wanted); });
  if (!source) co_return fail(std::move(source.error()));
  if (!*source) co_return fail(ErrorCode::caller_not_found, fmt::format("version {} of the flow is not known here any more", digest.substr(0, 12)), "version");
  auto flow = read_flow(**source, environment_);
  if (!flow) co_return fail(std::move(flow.error()));
  const std::lock_guard hold(mutex_);
  if (versions_.size() >= kKeptVersions) versions_.clear();
  versions_[digest] = *flow;
  co_return *flow;
}

}  // namespace ballast::work
