//! UpdateFeatures (key 57): raises, lowers or deletes finalized features (KIP-584). Served by the
//! controller's broker alone.
//!
//! Versions 0 and 1: v1 kinds of upgrade instead of a flag. A cluster beside ZooKeeper supports no
//! feature that could be finalized, so all that can be done is to delete one that is; the answer
//! waits until this broker knows of it.
//!
//! Errors: CLUSTER_AUTHORIZATION_FAILED, NOT_CONTROLLER, INVALID_REQUEST (versions of
//! `inter.broker.protocol.version` before 2.7 have no features); per feature INVALID_REQUEST,
//! FEATURE_UPDATE_FAILED.
//!
//! Differs from Apache: a request that only asks for validation (v1) changes nothing; Apache
//! carries it out beside ZooKeeper. `ottla.consumer.groups`, which brokers register, counts as not
//! supported: a broker of Apache's stops at a finalized feature that it does not know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metadata::znodes::feature::Features;
use protocol::error_code::ErrorCode;
use protocol::messages::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use super::api_error::ApiError;
use crate::authorizer::{Authorized, Authorizer, CLUSTER, Cluster, op};
use crate::finalized_features::FinalizedFeatures;
use crate::office::Office;
use crate::request::{Reply, RequestContext};

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

pub fn handle(
    authorizer: &Authorizer,
    office: &Office,
    finalized: &Arc<FinalizedFeatures>,
    context: &RequestContext,
    request: UpdateFeaturesRequest,
) -> Reply<UpdateFeaturesResponse> {
    let refuse = |code: ErrorCode| Reply::Now(whole(ApiError::new(code, &code.message())));
    let Ok(authorized) = authorizer.authorize::<_, Cluster>(context, CLUSTER) else {
        return refuse(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    };
    if !office.is_controller() {
        return refuse(ErrorCode::NOT_CONTROLLER);
    }
    let (finalized, authorized) = (finalized.clone(), authorized.into_owned());
    let version = context.api_version;
    Reply::later(async move { update(&finalized, &authorized, version, request).await })
}

async fn update(
    finalized: &FinalizedFeatures,
    authorized: &Authorized<'_, op::Alter, Cluster>,
    version: i16,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let (features, epoch) = match finalized.read().await {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(%error, "the finalized features cannot be read");
            return whole(ApiError::plain(ErrorCode::UNKNOWN_SERVER_ERROR));
        }
    };
    let (target, mut results) = judge_all(version, &request.feature_updates, &features.levels);
    if target != features.levels && !request.validate_only {
        let levels = Features { levels: target, ..features };
        let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        if let Err(error) = finalized.write(authorized, &levels, epoch, patience).await {
            tracing::warn!(%error, "the finalized features were not updated");
            let failed = ErrorCode::FEATURE_UPDATE_FAILED;
            for result in results.values_mut().filter(|result| result.code.is_ok()) {
                *result = ApiError::new(failed, &failed.message());
            }
        }
    }
    let result = |(feature, error): (String, ApiError)| UpdatableFeatureResult {
        feature,
        error_code: error.code.0,
        error_message: error.message,
    };
    let results = results.into_iter().map(result).collect();
    UpdateFeaturesResponse { error_message: None, results, ..Default::default() }
}

fn whole(error: ApiError) -> UpdateFeaturesResponse {
    UpdateFeaturesResponse {
        error_code: error.code.0,
        error_message: error.message,
        ..Default::default()
    }
}

/// What the features are after the updates that may be made, and each one's result. Of several
/// entries for one feature the first counts.
fn judge_all(
    version: i16,
    updates: &[FeatureUpdateKey],
    existing: &BTreeMap<String, i16>,
) -> (BTreeMap<String, i16>, BTreeMap<String, ApiError>) {
    let mut target = existing.clone();
    let mut results = BTreeMap::new();
    for update in updates {
        if results.contains_key(&update.feature) {
            continue;
        }
        let upgrade_type = match (version, update.allow_downgrade) {
            (0, true) => SAFE_DOWNGRADE,
            (0, false) => UPGRADE,
            _ => update.upgrade_type,
        };
        let now = existing.get(&update.feature).copied();
        let result = match refusal(update, upgrade_type, now) {
            Some(text) => ApiError::new(ErrorCode::INVALID_REQUEST, &text),
            None => {
                target.remove(&update.feature);
                ApiError::plain(ErrorCode::NONE)
            }
        };
        results.insert(update.feature.clone(), result);
    }
    (target, results)
}

/// Why an update is not made; only a deletion can be. See `KafkaController.validateFeatureUpdate`.
fn refusal(update: &FeatureUpdateKey, upgrade_type: i8, existing: Option<i16>) -> Option<String> {
    let level = update.max_version_level;
    let (known, safe) = ([UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE], SAFE_DOWNGRADE);
    let text = match existing {
        _ if update.feature.is_empty() => "Feature name can not be empty.".to_owned(),
        _ if !known.contains(&upgrade_type) => "Received unknown upgrade type.".to_owned(),
        None if level < 1 && upgrade_type != UPGRADE => {
            "Can not delete non-existing finalized feature.".to_owned()
        }
        Some(_) if level < 1 && upgrade_type != UPGRADE => return None,
        _ if level < 1 => format!(
            "Can not provide versionLevel: {level} less than 1 without setting the SAFE \
             downgradeType in the request."
        ),
        Some(now) if level == now => {
            let verb = if upgrade_type == safe { "downgrade" } else { "upgrade" };
            format!(
                "Can not {verb} a finalized feature from existing versionLevel:{now} to the same \
                 value."
            )
        }
        Some(now) if level < now && upgrade_type != safe => format!(
            "Can not downgrade finalized feature from existing versionLevel:{now} to provided \
             versionLevel:{level} without setting the downgradeType to SAFE in the request."
        ),
        Some(now) if level > now && upgrade_type != UPGRADE => format!(
            "When the downgradeType is set to SAFE in the request, the provided \
             versionLevel:{level} can not be greater than existing versionLevel:{now}."
        ),
        _ => "Could not apply finalized feature update because the provided feature is not \
              supported."
            .to_owned(),
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(version: i16, feature: &str, level: i16, upgrade_type: i8, down: bool) -> String {
        let update = FeatureUpdateKey {
            feature: feature.to_owned(),
            max_version_level: level,
            allow_downgrade: down,
            upgrade_type,
        };
        let existing = BTreeMap::from([("there".to_owned(), 3)]);
        let (target, results) = judge_all(version, &[update.clone(), update], &existing);
        assert_eq!(results.len(), 1);
        assert!(target == existing || target.is_empty());
        results[feature].message.clone().unwrap_or("done".to_owned())
    }

    #[test]
    fn only_deletions_of_what_is_finalized_are_made() {
        let table = [
            (1, "", 1, UPGRADE, "Feature name can not be empty."),
            (1, "new", 1, 0, "Received unknown upgrade type."),
            (1, "new", 1, 4, "Received unknown upgrade type."),
            (1, "new", 0, SAFE_DOWNGRADE, "Can not delete non-existing finalized feature."),
            (1, "there", 0, SAFE_DOWNGRADE, "done"),
            (1, "there", -1, UNSAFE_DOWNGRADE, "done"),
            (1, "there", 0, UPGRADE, "Can not provide versionLevel: 0 less than 1 "),
            (1, "there", 3, UPGRADE, "Can not upgrade a finalized feature from existing "),
            (1, "there", 3, SAFE_DOWNGRADE, "Can not downgrade a finalized feature from "),
            (1, "there", 2, UPGRADE, "Can not downgrade finalized feature from existing "),
            (1, "there", 4, SAFE_DOWNGRADE, "When the downgradeType is set to SAFE in the "),
            (1, "there", 4, UPGRADE, "Could not apply finalized feature update because the "),
            (1, "there", 2, SAFE_DOWNGRADE, "Could not apply finalized feature update because "),
            (1, "new", 1, UPGRADE, "Could not apply finalized feature update because the "),
        ];
        for (version, feature, level, upgrade_type, text) in table {
            let found = judged(version, feature, level, upgrade_type, false);
            assert!(found.starts_with(text), "{feature} {level} {upgrade_type}: {found}");
        }
    }

    #[test]
    fn version_0_has_a_flag_for_downgrades() {
        assert_eq!(judged(0, "there", 0, UPGRADE, true), "done");
        assert!(judged(0, "there", 0, SAFE_DOWNGRADE, false).starts_with("Can not provide"));
    }
}
