#include "app/classifiers.hpp"

#include <algorithm>
#include <fstream>

#include "base/text.hpp"

namespace ballast::app {

namespace {

Result<void> check_labels(const gateway::Route& route, const std::string& field) {
  const auto labels = route.intents->labels();
  if (route.strategy == gateway::Strategy::complexity) {
    const auto odd = std::ranges::find_if(labels, [](const std::string& label) { return !gateway::complexity_from(label); });
    if (odd == labels.end()) return {};
    return fail(ErrorCode::caller_invalid_request,
                fmt::format("tells label \"{}\", strategy complexity wants simple, medium and hard", *odd), field + ".classifier");
  }
  for (const auto& target : route.targets)
    for (const auto& label : target.intents) {
      if (std::ranges::find(labels, label) != labels.end()) continue;
      const auto near = nearest_name(label, labels);
      return fail(ErrorCode::caller_invalid_request,
                  fmt::format("{} is for \"{}\", a label that \"{}\" does not know{}", target.name, label, route.classifier,
                              near.empty() ? std::string() : fmt::format(", did you mean \"{}\"?", near)), field + ".targets");
    }
  return {};
}

}  // namespace

Result<classify::Model> read_intent_model(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes;
  for (char buffer[1 << 16]; file.read(buffer, sizeof buffer) || file.gcount() > 0;) {
    bytes.append(buffer, static_cast<std::size_t>(file.gcount()));
    if (bytes.size() > classify::kMaxModelBytes) break;                 // `load` says so
  }
  if (!file.eof() && bytes.size() <= classify::kMaxModelBytes) return fail(ErrorCode::caller_not_found, "cannot be read", path);
  auto model = classify::Model::load(bytes);
  if (!model) model.error().field = path;
  return model;
}

Result<void> give_classifiers(const Config& config, std::vector<gateway::Route>& routes) {
  std::map<std::string, std::shared_ptr<const classify::Model>> read;
  for (auto& route : routes) {
    if (route.classifier.empty()) continue;
    auto& model = read[route.classifier];
    if (!model) {
      auto loaded = read_intent_model(config.classifiers.at(route.classifier));
      if (!loaded) return fail(loaded.error().code, fmt::format("{}: {}", loaded.error().field, loaded.error().message), "classifiers." + route.classifier);
      model = std::make_shared<const classify::Model>(std::move(*loaded));
    }
    route.intents = model;
    if (auto ok = check_labels(route, "routes." + route.name); !ok) return ok;
  }
  return {};
}

}  // namespace ballast::app
