#include "cluster/topics.hpp"

namespace ballast::cluster {

Result<void> touch(store::Tx& tx, Topic topic) {
  auto done = tx.run("INSERT INTO topics (topic, number) VALUES ($1, 1) ON CONFLICT (topic) DO UPDATE SET number = topics.number + 1", {static_cast<int>(topic)});
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

Result<TopicNumbers> load_topics(store::Tx& tx) {
  auto rows = tx.run("SELECT topic, number FROM topics");
  if (!rows) return std::unexpected(std::move(rows.error()));
  TopicNumbers out{};
  for (const store::Row r : *rows)
    if (const auto topic = static_cast<std::size_t>(r.integer(0)); topic < kTopics) out[topic] = r.integer(1);      // others: of a newer version
  return out;
}

}  // namespace ballast::cluster
